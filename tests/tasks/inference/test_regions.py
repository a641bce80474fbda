"""Regions of real pictures, and the styles that they get."""

import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from atelier.models.controls import Controls, Style
from atelier.tasks.images.codec import BadImage, ImageLimits, encode
from atelier.tasks.images.reader import DecodedImage, read
from atelier.tasks.inference.label_pictures import read_kept, read_labels
from atelier.tasks.inference.regions import HEIGHT_PX, placed_by_regions, region_sheet

LIMITS = ImageLimits()


def halves(seed: int, size: int, *, mirrored: bool = False) -> np.ndarray:
    """A plain bright half above a dark grainy one; mirrored it stands on its head."""
    random = np.random.default_rng(seed)
    picture = np.empty((size, size, 3))
    picture[: size // 2] = np.linspace(220, 180, size // 2)[:, None, None]
    picture[size // 2 :] = random.normal(90, 50, (size - size // 2, size, 3))
    return (picture[::-1] if mirrored else picture).clip(0, 255).astype(np.uint8)


def test_plain_parts_get_the_style_of_plain_parts() -> None:
    """Also where a style stands on its head, and whatever else there is."""
    styles = [Style("a.png", pixels=halves(1, 160, mirrored=True)), Style("b.png", pixels=halves(2, 200))]
    controls, places = placed_by_regions(Controls(styles=tuple(styles), regions="auto"), "cpu")
    image = torch.from_numpy(halves(3, 320)).permute(2, 0, 1)[None]
    found = places(image, None)
    assert found.cover is None
    masks = found.masks[0]  # (S, h, w)
    assert len(masks) == len(controls.styles)
    torch.testing.assert_close(masks.sum(0), torch.ones(320, 320))
    plain = torch.zeros(320, 320)
    for mask, style in zip(masks, controls.styles, strict=True):
        assert style.pixels is not None
        assert style.region is not None
        rows = np.flatnonzero(style.region.any(1)) / style.region.shape[0]
        top = rows.mean() < 0.5
        plain += mask * float(top != (style.name == "a.png"))
    assert plain[:140].mean() > 0.95
    assert plain[180:].mean() < 0.05
    assert torch.equal(found.masks, places(image, None).masks)


def test_the_sheet_shows_all_pictures_side_by_side() -> None:
    controls = Controls(styles=(Style("a.png", pixels=halves(1, 100)[:, :50]),), regions="auto")
    sheet = region_sheet(halves(2, 64), controls)
    assert sheet.shape == (HEIGHT_PX, HEIGHT_PX * 3 // 2, 3)
    assert sheet.std() > 10


@pytest.fixture
def picture() -> DecodedImage:
    return read(encode(halves(0, 40)[:30], "png"), LIMITS, "png")


def test_label_pictures_are_grey_or_palette_pngs(tmp_path: Path, picture: DecodedImage) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (30, 40), dtype=np.uint8)
    (tmp_path / "a").mkdir()
    palette = Image.fromarray(labels)
    palette.putpalette([9, 9, 9, 255, 0, 0, 255, 0, 0, 3, 2, 1])
    for image in (Image.fromarray(labels), palette):
        image.save(tmp_path / "a" / "sea.tiff.png")
        found = read_labels(str(tmp_path), "a/sea.tiff.jpg", picture, LIMITS, None)
        assert np.array_equal(found.labels, labels)
    small = read(encode(halves(0, 40)[:30], "png"), LIMITS, "png", size=20)
    shrunk = read_labels(str(tmp_path), "a/sea.tiff.jpg", small, LIMITS, 20).labels
    assert np.array_equal(shrunk, labels[1::2, 1::2])


def test_what_is_no_label_picture_is_told(tmp_path: Path, picture: DecodedImage) -> None:
    def fails(name: str, reason: str) -> None:
        with pytest.raises(BadImage, match=reason):
            read_labels(str(tmp_path), name, picture, LIMITS, None)

    fails("a/none.jpg", r"^there is no label picture a/none\.png$")
    Image.new("L", (30, 40)).save(tmp_path / "turned.png")
    fails("turned.webp", r"turned\.png has 30 × 40 pixels, and the picture has 40 × 30")
    Image.new("RGB", (40, 30)).save(tmp_path / "colour.png")
    fails("colour.png", "no grey or palette PNG")
    Image.new("L", (40, 30)).save(tmp_path / "lossy.png", "JPEG")
    fails("lossy.png", "no grey or palette PNG")
    (tmp_path / "cut.png").write_bytes((tmp_path / "turned.png").read_bytes()[:40])
    fails("cut.png", r"label picture cut\.png: ")


def test_a_hostile_label_picture_is_refused(tmp_path: Path, picture: DecodedImage) -> None:
    limits, source = ImageLimits(max_bytes=100_000), tmp_path / "labels"
    source.mkdir()
    Image.fromarray(np.zeros((30, 40), np.uint16)).save(source / "deep.png")
    header = b"IHDR" + struct.pack(">II5B", 200_000, 200_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (source / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT")
    (source / "long.png").write_bytes(bytes(100_001))
    os.mkfifo(source / "pipe.png")
    (tmp_path / "outside").mkdir()
    Image.new("L", (40, 30)).save(tmp_path / "outside/a.png")
    (source / "b").symlink_to(tmp_path / "outside")
    (source / "linked.png").symlink_to(tmp_path / "outside/a.png")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(10**7))
        archive.writestr("../b.png", (tmp_path / "outside/a.png").read_bytes())
    for name, where, reason in (
        ("deep", source, "it is no grey or palette PNG"),
        ("huge", source, "the limit of"),
        ("long", source, "more than the limit of 100,000"),
        ("pipe", source, "a pipe, socket or device, not a file"),
        ("b/a", source, "a link that leads out of the source"),
        ("linked", source, "a link that leads out of the source"),
        ("a", tmp_path / "bomb.zip", "the limit of 100,000"),
        ("b", tmp_path / "bomb.zip", r"there is no label picture b\.png"),
    ):
        with pytest.raises(BadImage, match=rf"label picture {name}\.png.*{reason}|^{reason}"):
            read_labels(str(where), f"{name}.jpg", picture, limits, None)
    with pytest.raises(BadImage, match="a link that leads out"):
        read_kept(str(source), "linked.jpg", picture, limits, None)
    assert read_kept(str(source), "none.jpg", picture, limits, None) is None
