"""What is drawn for a variant, and what it does to the pixels."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from atelier.tasks.dataset.augment_config import AugmentConfig, DomainAugmentation
from atelier.tasks.dataset.transforms import variant
from atelier.tasks.images import codec

STILL = DomainAugmentation(flip_horizontal=0, crop_area=(1.0, 1.0), rotation_deg=0)


def _picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _variant(settings: DomainAugmentation, picture: np.ndarray, size_px: int = 48, copy: int = 0) -> np.ndarray:
    return variant(AugmentConfig(size_px=size_px, default=settings), picture, "any", "id", copy)


def test_a_variant_is_a_function_of_seed_id_and_copy() -> None:
    config, picture = AugmentConfig(size_px=32), _picture(1)
    first = variant(config, picture, "photos", "a", 0)
    assert np.array_equal(first, variant(config, picture, "photos", "a", 0))
    for other in (
        variant(config, picture, "photos", "a", 1),
        variant(config, picture, "photos", "b", 0),
        variant(replace(config, seed=1), picture, "photos", "a", 0),
    ):
        assert not np.array_equal(first, other)


def test_with_everything_off_only_the_size_changes() -> None:
    picture = _picture(2, 48, 48)
    assert np.array_equal(_variant(STILL, picture), picture)
    assert np.array_equal(_variant(STILL, picture, 24), codec.resize(picture, 24, 24))


def test_flips() -> None:
    picture = _picture(3, 48, 48)
    assert np.array_equal(_variant(replace(STILL, flip_horizontal=1), picture), picture[:, ::-1])
    assert np.array_equal(_variant(replace(STILL, flip_vertical=1), picture), picture[::-1])


def test_a_crop_is_a_square_of_the_share_that_was_drawn() -> None:
    x = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (100, 200, 3))
    for copy in range(20):
        made = _variant(replace(STILL, crop_area=(0.25, 0.25)), x, 50, copy)
        assert made.shape == (50, 50, 3)
        steps = np.diff(made[0, :, 0].astype(int))
        assert set(steps.tolist()) == {1}, "cut out unscaled, proportions kept"


def test_rotation_takes_little_of_the_finest_contrast() -> None:
    """What is learned of paintings would be softer than they are."""
    grain = np.random.default_rng(6).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    plain, turned = (codec.resize(x, 64, 64) for x in (grain, _variant(replace(STILL, rotation_deg=3.0), grain, 128)))
    fine = [np.diff(x[8:-8, 8:-8].astype(float), axis=1).std() for x in (plain, turned)]
    assert fine[1] > 0.95 * fine[0]


def test_rotation_mirrors_the_borders_and_blackens_no_corner() -> None:
    white = np.full((48, 48, 3), 255, np.uint8)
    picture = _picture(4, 48, 48)
    for copy in range(5):
        assert _variant(replace(STILL, rotation_deg=45), white, copy=copy).min() == 255
    assert not np.array_equal(_variant(replace(STILL, rotation_deg=45), picture), picture)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue_deg"])
def test_colours_change_within_their_range(name: str) -> None:
    picture = _picture(5, 48, 48)
    small, large = (
        np.mean([np.abs(_variant(replace(STILL, **{name: amount}), picture, copy=c).astype(int) - picture).mean()
                 for c in range(8)])
        for amount in ((3.0, 60.0) if name == "hue_deg" else (0.05, 0.5))
    )  # fmt: skip
    assert 0 < small < large
    if name == "brightness":
        assert np.abs(_variant(replace(STILL, brightness=0.1), picture).astype(int) - picture).max() <= 26


def test_blur_and_noise() -> None:
    picture = _picture(6, 48, 48)
    sharp = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    blurred = _variant(replace(STILL, blur_probability=1, blur_sigma_px=(2.0, 2.0)), sharp)
    assert blurred.std() < 0.5 * sharp.std()
    grey = np.full((48, 48, 3), 128, np.uint8)
    noise = _variant(replace(STILL, noise_probability=1, noise_std=(0.05, 0.05)), grey).astype(float) - 128
    assert noise.std() == pytest.approx(0.05 * 255, rel=0.1)
    assert np.array_equal(_variant(replace(STILL, noise_std=(0.5, 0.5), blur_sigma_px=(3.0, 3.0)), picture), picture)


def test_the_defaults_leave_the_colours_of_a_style_alone() -> None:
    defaults, plain = AugmentConfig(size_px=32), np.full((48, 64, 3), (200, 100, 50), np.uint8)
    for copy in range(5):
        assert np.array_equal(variant(defaults, plain, "paintings", "x", copy), plain[:32, :32])
    assert not np.array_equal(variant(defaults, plain, "photos", "x", 0), plain[:32, :32])
