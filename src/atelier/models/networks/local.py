"""Local networks: an output pixel depends on the input around it alone, so tiles with a margin give the whole picture.

Convolutions, pointwise layers and pixel shuffles are local. Norms, attention and means over a whole picture are not.
"""

from torch import nn


class LocalNetwork(nn.Module):
    """Base class of a network that is painted in tiles by its reach.

    It takes (B, 3, H, W) in [-1, 1], H and W multiples of 4, to (B, 3, scale · H, scale · W), and pads at the borders
    of what it is given: a tile reads a margin, so that this is seen at the borders of the picture only. It may halve
    the size inside, twice at most, since tiles begin at multiples of 4.
    """

    reach: int  # px of the input, to each side, that an output pixel depends on at most
    scale: int = 1  # size of the output relative to the input
