"""Bulk jobs: an archive, each picture exactly once."""
