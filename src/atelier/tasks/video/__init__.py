"""Videos: reading, chunks of frames, steadiness, encoding, joining."""
