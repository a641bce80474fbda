"""Stylize one picture.

python examples/paint_one.py photo.jpg painted.png --model starter/paintings
"""

import argparse
from pathlib import Path

from PIL import Image

from atelier import load


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="starter/paintings", help="starter/NAME, a folder, or style-model@prod")
    parser.add_argument("--strength", type=float, default=1.0, help="0 leaves the picture, 1 is the full style")
    parser.add_argument("--style", type=Path, action="append", default=[], help="style picture, for starter/any-style")
    arguments = parser.parse_args()

    painter = load(arguments.model, strength=arguments.strength, styles=arguments.style)
    painter(Image.open(arguments.picture).convert("RGB")).save(arguments.out)


if __name__ == "__main__":
    main()
