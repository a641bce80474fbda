"""Videos: frames in, painted frames out."""
