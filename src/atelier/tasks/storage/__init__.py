"""Sources to read from and destinations to write to."""
