"""params.yaml: its sections, and what a new workspace begins with."""
