"""How much of faces and of text `--remove faces` and `--remove text` find, and what they find where there is none.

    python benchmarks/detectors.py PHOTOS FACES [--sheet FILE]

PHOTOS is a folder of photographs: `val` of BSDS500. FACES is a zip archive of aligned portraits: CelebA. Portraits are
pasted into photographs, each scaled so that its face has a width; a face is found if nine tenths of its middle are in
the mask. Text is drawn into photographs in the fonts of this machine, light on dark or dark on light; a text is covered
if 99 % of its pixels are in the mask. Places, texts and fonts follow a fixed seed.
"""

import argparse
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.images.detectors import detector_label, found_mask
from training import RESULTS, hardware

SEED = 0
FACE_SHARE = 0.45  # of the width of an aligned portrait
FACE_PX = 16, 24, 40, 64, 96  # widths of faces
TEXT_PX = 10, 16, 28, 56  # sizes of letters
COUNT = 40  # of each size
FONTS = "/usr/share/fonts"
TEXTS = (
    *("2026-11-30 14:05", "© Studio North", "SALE", "Please do not enter", "Hotel Bellevue"),
    *("www.example.org", "Gate 12", "Open daily"),
)


def with_face(photo: Pixels, portrait: Image.Image, width: int, random: np.random.Generator) -> tuple[Pixels, Any]:
    """A photograph with a portrait somewhere, and where the middle of its face is; None where it is too large."""
    scale = width / (FACE_SHARE * portrait.width)
    size = round(scale * portrait.width), round(scale * portrait.height)
    room = photo.shape[0] - size[1], photo.shape[1] - size[0]
    if min(room) <= 0:
        return photo, None
    top, left = (int(random.integers(0, most)) for most in room)
    pasted = Image.fromarray(photo)
    pasted.paste(portrait.resize(size, Image.Resampling.LANCZOS), (left, top))
    rows, columns = (
        slice(start + int(side * first), start + int(side * last))
        for start, side, first, last in ((top, size[1], 0.45, 0.7), (left, size[0], 0.3, 0.7))
    )
    return np.asarray(pasted), (rows, columns)


def with_text(photo: Pixels, font: Path, size: int, random: np.random.Generator) -> tuple[Pixels, Any]:
    """A photograph with a text somewhere, and where its pixels are (H, W); None where it is too large."""
    text, face = str(random.choice(TEXTS)), ImageFont.truetype(str(font), size)
    _, _, width, height = (int(side) for side in face.getbbox(text))
    room = photo.shape[0] - height - 8, photo.shape[1] - width - 8
    if min(room) <= 0:
        return photo, None
    top, left = (4 + int(random.integers(0, most)) for most in room)
    dark = photo[top : top + height, left : left + width].mean() < 128
    ink = random.integers(180, 256, 3) if dark else random.integers(0, 70, 3)
    drawn, shown = Image.fromarray(photo), Image.new("L", (photo.shape[1], photo.shape[0]))
    ImageDraw.Draw(drawn).text((left, top), text, fill=tuple(map(int, ink)), font=face)
    ImageDraw.Draw(shown).text((left, top), text, fill=255, font=face)
    return np.asarray(drawn), np.asarray(shown) > 64


def marked(photo: Pixels, mask: Any) -> Pixels:
    """A photograph with a mask shown in red."""
    red = photo.copy()
    red[mask > 0] = (0.5 * red[mask > 0] + [127, 0, 0]).astype(np.uint8)
    return red


def main() -> None:
    """Measure, and write `results/detectors.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--sheet", type=Path, help="PNG of photographs in which something is found")
    arguments = parser.parse_args()
    photos = [codec.load(file) for file in sorted(arguments.photos.glob("*.jpg"))]
    fonts = sorted(file for file in Path(FONTS).rglob("*.ttf") if "Math" not in file.name)
    found: dict[str, Any] = {"detectors": [detector_label(kind) for kind in ("faces", "text")], "fonts": len(fonts)}
    with zipfile.ZipFile(arguments.faces) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        chosen = np.random.default_rng(SEED).permutation(len(names))[:COUNT]
        portraits = [Image.open(io.BytesIO(archive.read(names[index]))).convert("RGB") for index in chosen]
    for width in FACE_PX:
        seen = []
        for number, portrait in enumerate(portraits):
            random = np.random.default_rng(number)
            picture, place = with_face(photos[number % len(photos)], portrait, width, random)
            if place:
                seen.append(bool((found_mask(["faces"], picture)[place] > 0).mean() >= 0.9))
        found.setdefault("faces", {})[width] = {"found": sum(seen), "of": len(seen)}
        print("faces", width, found["faces"][width])
    for size in TEXT_PX:
        shares = []
        for number in range(COUNT):
            random = np.random.default_rng(number)
            photo = photos[7 * number % len(photos)]
            picture, shown = with_text(photo, fonts[number % len(fonts)], size, random)
            if shown is not None:
                shares.append(float((found_mask(["text"], picture)[shown] > 0).mean()))
        covered = sum(share >= 0.99 for share in shares)
        at_all = sum(share >= 0.5 for share in shares)
        found.setdefault("text", {})[size] = {"covered": covered, "found": at_all, "of": len(shares)}
        print("text", size, found["text"][size])
    rows = []
    for kind in ("faces", "text"):
        masks = [found_mask([kind], photo) for photo in photos]
        some = [marked(photo, mask) for photo, mask in zip(photos, masks, strict=True) if mask.any()]
        found[f"{kind}_in_photographs"] = {"found": len(some), "of": len(photos)}
        print(kind, found[f"{kind}_in_photographs"])
        rows += [some[start : start + 6] for start in range(0, len(some), 6)]
    (RESULTS / "detectors.json").write_text(json.dumps(found | {"hardware": hardware()}, indent=2) + "\n")
    if arguments.sheet:
        arguments.sheet.write_bytes(codec.encode(contact_sheet(rows, cell_px=220), "png"))


if __name__ == "__main__":
    main()
