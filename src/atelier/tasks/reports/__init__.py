"""Reports: HTML for people."""
