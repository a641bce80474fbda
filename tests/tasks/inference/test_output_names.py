import unicodedata
from itertools import permutations

import pytest

from atelier.tasks.images.formats import output_format
from atelier.tasks.inference.output_names import RESERVED, plan_outputs


def test_names_keep_folders_and_stem_and_get_the_suffix_of_their_format() -> None:
    names = ["a/b.c/photo.PNG", "x.jpeg", "scan.tif", "no_suffix", "v1.2"]
    assert plan_outputs(names, "webp") == {
        "a/b.c/photo.PNG": "a/b.c/photo.webp",
        "x.jpeg": "x.webp",
        "scan.tif": "scan.webp",
        "no_suffix": "no_suffix.webp",
        "v1.2": "v1.2.webp",
    }


def test_keep_changes_only_names_that_say_no_format() -> None:
    kept = ["a.JPEG", "b.png", "c.gif", "d.webp", "e.TIF", "f.tiff", "g.bmp", "h.avif", "i.apng"]
    assert plan_outputs([*kept, "no_suffix", "x.dat"], "keep") == {
        **{name: name for name in kept},
        "no_suffix": "no_suffix.png",
        "x.dat": "x.dat.png",
    }
    formats = ["jpeg", "png", "gif", "webp", "tiff", "tiff", "bmp", "avif", "png"]
    assert [output_format(name, "keep") for name in kept] == formats


def test_inputs_that_would_meet_keep_their_original_suffix() -> None:
    assert plan_outputs(["a.png", "a.jpg"], "webp") == {"a.png": "a.png.webp", "a.jpg": "a.jpg.webp"}


def test_an_input_whose_name_needs_no_change_keeps_it() -> None:
    assert plan_outputs(["a.png", "a.webp"], "webp") == {"a.webp": "a.webp", "a.png": "a.png.webp"}


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "A.png"],
        ["a.png", "A.PNG", "a.jpg", "A.jpg", "a.png.webp"],
        ["caf\u00e9.png", "cafe\u0301.png"],
        ["D/a.png", "d/a.png"],
        ["stra\u00dfe.png", "STRASSE.png"],
        ["a.jpg", "a.webp/b.jpg"],
        ["a.png", "a.jpg", "a.png.webp", "a.jpg.webp", "A.png.webp"],
    ],
)
def test_no_two_outputs_meet_whatever_the_order(names: list[str]) -> None:
    plan = plan_outputs(names, "webp")
    keys = [unicodedata.normalize("NFC", output.casefold()) for output in plan.values()]
    assert len(set(keys)) == len(names)
    assert not any(other.startswith(key + "/") for key in keys for other in keys)
    assert all(plan_outputs(order, "webp") == plan for order in permutations(names))


def test_the_folder_of_the_job_is_reserved() -> None:
    plan = plan_outputs([f"{RESERVED}/job.png", f"{RESERVED.upper()}/x.png", f"a/{RESERVED}/x.png", RESERVED], "png")
    assert plan == {
        "_atelier/job.png": "_atelier_/job.png",
        "_ATELIER/x.png": "_ATELIER_/x.png",
        "a/_atelier/x.png": "a/_atelier/x.png",
        "_atelier": "_atelier.png",
    }


def test_what_was_planned_once_stays_when_the_source_grows() -> None:
    first = plan_outputs(["a.png", "b.png"], "webp")
    added = plan_outputs(["a.jpg", "b.webp/c.png", "c.png"], "webp", first.values())
    assert added == {"a.jpg": "a.jpg.webp", "b.webp/c.png": "b.webp/c.webp", "c.png": "c.webp"}


def test_a_great_many_names_that_all_meet_are_parted() -> None:
    names = [f"{index // 3}.{('png', 'jpg', 'gif')[index % 3]}" for index in range(3000)]
    plan = plan_outputs([*names, "0.PNG"], "webp")
    assert len({output.lower() for output in plan.values()}) == 3001
    assert plan["5.gif"] == "5.gif.webp"
    assert plan["0.png"].startswith("0.png~")
