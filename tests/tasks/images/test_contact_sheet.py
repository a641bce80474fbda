"""The contact sheet: pictures in their cells, labels beside them."""

import numpy as np
import pytest

from atelier.tasks.images.contact_sheet import contact_sheet


def _plain(colour: tuple[int, int, int], height: int = 32, width: int = 32) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3))


def test_pictures_are_at_their_row_and_column() -> None:
    red, green, blue = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    sheet = contact_sheet([[_plain(red), _plain(green)], [_plain(blue)]], cell_px=32)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * 36 + 4, 2 * 36 + 4, 3)
    assert tuple(sheet[4 + 16, 4 + 16]) == red
    assert tuple(sheet[4 + 16, 40 + 16]) == green
    assert tuple(sheet[40 + 16, 4 + 16]) == blue
    assert tuple(sheet[40 + 16, 40 + 16]) == (250, 250, 248), "the missing cell stays empty"
    sheet = contact_sheet([[None, _plain(green)]], cell_px=32)
    assert (tuple(sheet[20, 20]), tuple(sheet[20, 56])) == ((250, 250, 248), green)


def test_a_picture_keeps_its_proportions() -> None:
    sheet = contact_sheet([[_plain((200, 0, 0), height=20, width=80)]], cell_px=40)
    red = (sheet == (200, 0, 0)).all(-1)
    assert red.sum(0).max() == 10
    assert red.sum(1).max() == 40


def test_labels_are_drawn_outside_the_pictures() -> None:
    picture = _plain((200, 0, 0))
    bare = contact_sheet([[picture]], cell_px=32)
    labelled = contact_sheet([[picture]], rows=["photos"], columns=["a label much wider than its column"], cell_px=32)
    assert labelled.shape[0] > bare.shape[0]
    assert labelled.shape[1] > bare.shape[1]
    assert (labelled == (200, 0, 0)).all(-1).sum() == 32 * 32
    assert (labelled.max(-1) < 80).any(), "there is ink"


def test_labels_that_do_not_fit_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="2 row"):
        contact_sheet([[_plain((0, 0, 0))]], rows=["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([[], []])
