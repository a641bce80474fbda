"""How: networks, losses, encoders, metrics and methods in plain PyTorch."""
