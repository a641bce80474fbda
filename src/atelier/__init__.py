"""Train image-translation GANs and run them over large image archives.

Three floors, imports downwards only: `flows` (Prefect: when), `tasks` (Ray and DVC: where and whether),
`models` (PyTorch: how). From Python:

    from atelier import load

    painter = load("starter/paintings")
    image = painter(image)  # a PIL image, a NumPy array or a PyTorch tensor
"""

from typing import TYPE_CHECKING, Any

from atelier.version import __version__

if TYPE_CHECKING:
    from atelier.library import ImagePainter, Style, load

__all__ = ["ImagePainter", "Style", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import the library when it is first used: it needs PyTorch, which takes a second."""
    if name in __all__:
        from atelier import library

        return getattr(library, name)
    raise AttributeError(f"module 'atelier' has no attribute {name!r}")
