"""Stylize the pictures of a folder in one process, without Ray.

    python examples/paint_folder.py photos painted --model starter/monet

`atelier stylize` does the same on many processors, survives kills, and sets bad pictures aside.
"""

import argparse
from pathlib import Path

from PIL import Image

from atelier import load

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="starter/paintings", help="starter/NAME, a folder, or style-model@prod")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()

    painter = load(arguments.model, device=arguments.device)
    for picture in sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        target = arguments.out / picture.relative_to(arguments.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        painter(Image.open(picture).convert("RGB")).save(target)
        print(target)


if __name__ == "__main__":
    main()
