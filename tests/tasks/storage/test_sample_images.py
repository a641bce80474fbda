from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from atelier.tasks.dataset.shards import split_of
from atelier.tasks.images.codec import decode
from atelier.tasks.storage import sample_images
from atelier.tasks.storage.open_source import list_entries, read
from atelier.tasks.storage.sample_images import PARENTS, Crop, Parent, list_crops
from atelier.tasks.storage.sample_painter import paint

DOMAINS = ("sample://photos", "sample://paintings")


def some(domain: str, count: int = 12) -> list[np.ndarray]:
    entries = list(list_entries(domain, Path("/")))
    return [decode(read(entry)) for entry in entries[:: len(entries) // count]]


def saturation(pictures: list[np.ndarray]) -> float:
    return float(np.mean([np.ptp(picture.astype(int), axis=2).mean() for picture in pictures]))


def test_there_are_a_few_hundred_pictures_of_one_size() -> None:
    crops = [crop for domain in DOMAINS for crop in list_crops(domain)]
    assert 300 <= len(crops) <= 900
    assert len({(crop.parent.file, crop.name) for crop in crops}) == len(crops)
    assert all(picture.shape == (160, 160, 3) for domain in DOMAINS for picture in some(domain, 5))


def test_parents_are_of_one_domain_and_do_not_overlap() -> None:
    every = [parent for parents in PARENTS.values() for parent in parents]
    for one, other in combinations(every, 2):
        assert one.name != other.name
        if one.file == other.file:
            assert one.box[2] <= other.box[0] or other.box[2] <= one.box[0]
    files = [{parent.file for parent in parents} for parents in PARENTS.values()]
    assert not files[0] & files[1]


@pytest.mark.parametrize("share", [0.2, 0.25])
@pytest.mark.parametrize("domain", DOMAINS)
def test_some_parents_of_each_domain_are_held_out(domain: str, share: float) -> None:
    splits = list({crop.group: split_of(crop.group, share) for crop in list_crops(domain)}.values())
    assert splits.count("holdout") >= 2
    assert splits.count("train") >= 3


def test_windows_lie_inside_their_parents() -> None:
    for crop in (crop for domain in DOMAINS for crop in list_crops(domain)):
        width, height = sample_images._size(crop.parent, crop.short_side)
        assert 0 <= crop.left <= width - sample_images.SIZE_PX
        assert 0 <= crop.top <= height - sample_images.SIZE_PX


@pytest.mark.parametrize("domain", DOMAINS)
def test_equal_names_give_equal_bytes(domain: str) -> None:
    name = list_crops(domain)[3].name
    first = sample_images.read(name, domain)
    sample_images._scaled.cache_clear()
    sample_images._photo.cache_clear()
    assert sample_images.read(name, domain) == first


def test_paintings_are_flatter_and_more_colourful_than_the_photograph() -> None:
    photo = sample_images._scaled(PARENTS["photos"][0], 240, False)
    painted = paint(photo, seed=1)
    assert painted.shape == photo.shape
    assert not np.array_equal(painted, paint(photo, seed=2))
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3 if threads == 1 else 1)
        assert np.array_equal(painted, paint(photo, seed=1)), "the number of threads does not matter"
    finally:
        cv2.setNumThreads(threads)
    assert saturation([painted]) > 1.2 * saturation([photo])
    # what is light stays light, from so far that strokes cannot be told apart
    light, painted_light = (cv2.GaussianBlur(image.mean(axis=2), (0, 0), 6.0).ravel() for image in (photo, painted))
    assert np.corrcoef(light, painted_light)[0, 1] > 0.9


def test_a_missing_package_or_picture_is_a_clear_error() -> None:
    parent = Parent("x", "no_such_package", "a.png", (0, 0, 9, 9))
    with pytest.raises(FileNotFoundError, match="not installed"):
        sample_images._photo(parent.package, parent.file)
    with pytest.raises(FileNotFoundError, match="has no picture"):
        sample_images.read("nothing.png", "sample://photos")
    assert isinstance(list_crops("sample://photos")[0], Crop)
