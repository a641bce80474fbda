"""Sources that are read from, destinations that are written to."""
