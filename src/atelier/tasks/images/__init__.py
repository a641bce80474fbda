"""Image bytes to pixels and back: formats, colour, 16 bits, metadata, provenance."""
