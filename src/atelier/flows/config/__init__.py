"""params.yaml: its sections, reading it, and the file of a new workspace."""
