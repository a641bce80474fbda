import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from atelier.tasks.dataset.layouts import Listing, SourceConfig, list_source
from atelier.tasks.images.codec import decode, encode
from atelier.tasks.storage.open_source import read

PNG = encode(np.full((8, 8, 3), 90, np.uint8), "png")


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PNG)


def said(listing: Listing) -> dict[str, object]:
    return {entry.name: json.loads(entry.attributes) for entry in listing.entries}


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "dog/deep/2.png", "3.png")
    found = said(list_source(SourceConfig(str(tmp_path), "imagefolder"), tmp_path))
    assert found == {"3.png": {}, "cat/1.png": {"class": "cat"}, "dog/deep/2.png": {"class": "dog"}}
    assert list(said(list_source(SourceConfig(str(tmp_path)), tmp_path)).values()) == [{}, {}, {}]


def cifar(folder: Path, labels: int, name: str, count: int = 3) -> np.ndarray:
    pictures = np.random.default_rng(labels).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    heads = np.arange(count * labels, dtype=np.uint8).reshape(count, labels)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(np.concatenate([heads, pictures.reshape(count, -1)], axis=1).tobytes())
    return pictures.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("packed", [False, True])
def test_cifar_10_as_it_is_distributed(tmp_path: Path, packed: bool) -> None:
    root = tmp_path / "cifar-10-batches-bin"
    pictures = cifar(root, 1, "data_batch_2.bin")
    (root / "batches.meta.txt").write_text("airplane\nautomobile\n\n")
    (root / "readme.html").write_text("<html>")
    source = root
    if packed:
        source = tmp_path / "cifar-10-binary.tar.gz"
        with tarfile.open(source, "w:gz") as archive:
            archive.add(root, root.name)
    listing = list_source(SourceConfig(source.name), tmp_path)
    assert [json.loads(entry.attributes)["class"] for entry in listing.entries] == ["airplane", "automobile", "2"]
    assert all(np.array_equal(decode(read(e)), p) for e, p in zip(listing.entries, pictures, strict=True))
    assert listing.entries[1].name.endswith("data_batch_2.bin/00001.png")
    assert [entry.name.split("/")[-1] for entry in listing.label_files] == ["batches.meta.txt"]


def test_cifar_100_has_two_labels(tmp_path: Path) -> None:
    pictures = cifar(tmp_path, 2, "test.bin", count=2)
    (tmp_path / "fine_label_names.txt").write_text("a\nb\nc\nd\n")
    listing = list_source(SourceConfig(str(tmp_path), "cifar"), tmp_path)
    assert [json.loads(entry.attributes) for entry in listing.entries] == [
        {"superclass": "0", "class": "b"},
        {"superclass": "2", "class": "d"},
    ]
    assert np.array_equal(decode(read(listing.entries[1])), pictures[1])


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    for layout in ("auto", "cifar"):
        with pytest.raises(ValueError, match="binary version"):
            list_source(SourceConfig(str(tmp_path), layout), tmp_path)


def test_damaged_batches_say_so(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(b"x" * 4000)
    with pytest.raises(ValueError, match="not whole records"):
        list_source(SourceConfig(str(tmp_path)), tmp_path)


def coco(folder: Path, **changes: object) -> None:
    put(folder, "train2017/1.jpg", "train2017/2.jpg", "train2017/not-annotated.jpg")
    content = {
        "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}],
        "annotations": [{"image_id": 1, "category_id": c} for c in (7, 3, 7)],
        "categories": [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content | changes))


def test_coco(tmp_path: Path) -> None:
    coco(tmp_path)
    assert said(list_source(SourceConfig(str(tmp_path)), tmp_path)) == {
        "train2017/1.jpg": {"categories": ["cat", "dog"]},
        "train2017/2.jpg": {"categories": []},
        "train2017/not-annotated.jpg": {},
    }


def test_annotations_that_are_none_say_so(tmp_path: Path) -> None:
    coco(tmp_path, images=[{"id": 1}])
    with pytest.raises(ValueError, match="not a COCO annotation file"):
        list_source(SourceConfig(str(tmp_path)), tmp_path)
    with pytest.raises(ValueError, match="no COCO annotations"):
        list_source(SourceConfig(str(tmp_path / "train2017"), "coco"), tmp_path)


def test_attributes_from_csv(tmp_path: Path) -> None:
    put(tmp_path, "p/a.png", "p/b.png", "p/c.png")
    (tmp_path / "said.csv").write_text('\ufefffile,year,"title, long"\na.png,1880,"x ""y"""\np/b.png,1890,\n')
    found = said(list_source(SourceConfig(".", "imagefolder", "said.csv"), tmp_path))
    assert found == {
        "p/a.png": {"class": "p", "year": "1880", "title, long": 'x "y"'},
        "p/b.png": {"class": "p", "year": "1890", "title, long": ""},
        "p/c.png": {"class": "p"},
    }


def test_attributes_from_celeba(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png")
    (tmp_path / "list_attr.txt").write_text("2\nSmiling Young\n1.png  1 -1\n2.png -1  1\n")
    found = said(list_source(SourceConfig(".", attributes="list_attr.txt"), tmp_path))
    assert found == {"1.png": {"Smiling": True, "Young": False}, "2.png": {"Smiling": False, "Young": True}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file,a\nx.png,1,2\n", "line 2: 3 cells"),
        ("file,a\nx.png,1\n", "none of the pictures"),
        ("1\nA B\nx 1\n", "line 3"),
    ],
)
def test_attribute_files_that_do_not_fit(tmp_path: Path, text: str, reason: str) -> None:
    put(tmp_path, "1.png")
    (tmp_path / "said.csv").write_text(text)
    with pytest.raises(ValueError, match=reason):
        list_source(SourceConfig(".", attributes="said.csv"), tmp_path)
    with pytest.raises(FileNotFoundError):
        list_source(SourceConfig(".", attributes="gone.csv"), tmp_path)
    (tmp_path / "said.csv").write_bytes(io.BytesIO(b"a\xff,b\n").getvalue())
    with pytest.raises(ValueError, match="UTF-8"):
        list_source(SourceConfig(".", attributes="said.csv"), tmp_path)


def _coco_files(folder: Path, splits: dict[str, dict[str, str]]) -> None:
    """Annotation files: of each split the category of each picture, by its file name."""
    (folder / "annotations").mkdir(parents=True)
    for split, pictures in splits.items():
        content = {
            "images": [{"id": n, "file_name": name} for n, name in enumerate(pictures)],
            "annotations": [{"image_id": n, "category_id": name} for n, name in enumerate(pictures.values())],
            "categories": [{"id": name, "name": name} for name in sorted(set(pictures.values()))],
        }
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def test_coco_labels_join_by_path(tmp_path: Path) -> None:
    put(tmp_path, "images/train2017/1.jpg", "images/val2017/1.jpg", "a/2.jpg", "b/2.jpg", "only.jpg")
    _coco_files(
        tmp_path,
        {
            "train2017": {"1.jpg": "cat", "a/2.jpg": "cow", "other/only.jpg": "owl", "gone.jpg": "ant"},
            "val2017": {"1.jpg": "dog", "2.jpg": "eel"},
        },
    )
    listing = list_source(SourceConfig(str(tmp_path)), tmp_path)
    assert said(listing) == {
        "images/train2017/1.jpg": {"categories": ["cat"]},
        "images/val2017/1.jpg": {"categories": ["dog"]},
        "a/2.jpg": {"categories": ["cow"]},
        "b/2.jpg": {},
        "only.jpg": {"categories": ["owl"]},
    }
    assert listing.labels == {
        "annotated names that several pictures have": 1,
        "annotated pictures that are missing": 1,
        "pictures without annotation": 1,
    }


@pytest.mark.parametrize(
    ("pictures", "splits", "expected", "counts"),
    [
        ("train/1.jpg", {"all": {"train/1.jpg": "cat", "val/1.jpg": "dog"}}, "cat", {"pictures that are missing": 1}),
        (
            "train/1.jpg",
            {"a": {"train/1.jpg": "cat"}, "b": {"val/1.jpg": "dog"}},
            "cat",
            {"pictures that are missing": 1},
        ),
        ("train/1.jpg", {"train": {"1.jpg": "cat"}, "val": {"1.jpg": "dog"}}, "cat", {"pictures that are missing": 1}),
        ("1.jpg", {"a": {"x/1.jpg": "cat"}, "b": {"y/1.jpg": "dog"}}, "", {"names that several pictures have": 2}),
        ("1.jpg", {"a": {"1.jpg": "cat"}, "b": {"1.jpg": "dog"}}, "cat dog", {}),  # two files about one picture
        ("pictures/1.jpg", {"a": {"/data/1.jpg": "cat"}}, "cat", {}),
    ],
)
def test_labels_of_pictures_that_are_not_here_are_not_given_to_others(
    tmp_path: Path, pictures: str, splits: dict[str, dict[str, str]], expected: str, counts: dict[str, int]
) -> None:
    put(tmp_path, pictures, "other.jpg")
    _coco_files(tmp_path, {**splits, "rest": {"other.jpg": "owl"}})
    listing = list_source(SourceConfig(str(tmp_path)), tmp_path)
    assert said(listing)[pictures] == ({"categories": expected.split()} if expected else {})
    assert listing.labels == {f"annotated {what}": n for what, n in counts.items()} | (
        {} if expected else {"pictures without annotation": 1}
    )


def test_coco_annotations_without_a_picture_are_counted(tmp_path: Path) -> None:
    coco(tmp_path, annotations=[{"image_id": n, "category_id": c} for n, c in ((1, 3), (99, 3), (2, 55))])
    listing = list_source(SourceConfig(str(tmp_path)), tmp_path)
    assert said(listing)["train2017/1.jpg"] == {"categories": ["dog"]}
    assert listing.labels == {
        "annotations of no listed category": 1,
        "annotations of no listed picture": 1,
        "pictures without annotation": 1,
    }
    (tmp_path / "annotations/instances_train2017.json").write_text(
        json.dumps({"images": [{"id": 1, "file_name": "x.jpg"}]})
    )
    with pytest.raises(ValueError, match=r"name none of its pictures: they name 'x.jpg', and a picture is called 'tr"):
        list_source(SourceConfig(str(tmp_path)), tmp_path)


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("train/cats/1.jpg val/dogs/2.jpg test/cats/3.jpg", "cats dogs"),
        ("Train/cats/1.jpg valid/dogs/2.jpg", "cats dogs"),
        ("images/train2017/cats/1.jpg images/val2017/dogs/2.jpg", "cats dogs"),
        ("data/images/training/cats/x/1.jpg data/images/validation/dogs/2.jpg", "cats dogs"),
        ("training_set/training_set/cats/1.jpg test_set/test_set/dogs/2.jpg", "cats dogs"),
        ("train/1.jpg test/2.jpg", ""),  # splits without classes
        ("car/1.jpg train/2.jpg bus/3.jpg", "car train bus"),  # vehicles
        ("cats/train/1.jpg dogs/test/2.jpg", "cats dogs"),
        ("training wheels/1.jpg testing/2.jpg", "training wheels;testing"),
    ],
)
def test_folders_of_splits_are_no_classes(tmp_path: Path, names: str, classes: str) -> None:
    paths = names.replace(" wheels", "~wheels").split()
    put(tmp_path, *(path.replace("~", " ") for path in paths))
    listing = list_source(SourceConfig(str(tmp_path), "imagefolder"), tmp_path)
    found = {json.loads(entry.attributes).get("class", "") for entry in listing.entries}
    assert found == (set(classes.split(";") if ";" in classes else classes.split()) or {""})


CSVS = {
    "commas": b"file,year,title\na.png,1880,x\np/b.png,1890,y\n",
    "semicolons": b"file;year;title\na.png;1880;x\np/b.png;1890;y\n",
    "tabs": b"file\tyear\ttitle\na.png\t1880\tx\np/b.png\t1890\ty\n",
    "spaces after commas": b"file, year, title\na.png, 1880, x\np/b.png, 1890, y\n",
    "quotes": b'"file", "year", "title"\n"a.png", "1880", "x"\n"p/b.png", "1890", "y"\n',
    "mark": b"\xef\xbb\xbffile,year,title\r\na.png,1880,x\r\n\r\np/b.png,1890,y\r\n",
    "UTF-16": "file;year;title\na.png;1880;x\np/b.png;1890;y\n".encode("utf-16"),
    "stated": b"sep=;\nfile;year;title\na.png;1880;x\np/b.png;1890;y\n",
    "name later": b"id,year,Image,title\n1,1880,a.png,x\n2,1890,p/b.png,y\n",
    "paths": b"file,year,title\n/data/set/a.png,1880,x\nC:\\set\\p\\b.png,1890,y\n",
    "twice": b"file,year,title\na.png,1880,x\np/b.png,1890,y\na.png,1880,x\n",
    "empty cells": b"file,year,title,,\na.png,1880,x,,\np/b.png,1890,y,,\n,,,,\n",
    "numbered": b",year,Image,title\n0,1880,a.png,x\n1,1890,p/b.png,y\n",
}


def test_csv_as_programs_write_it(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "p/b.png", "p/c.png")
    for what, text in CSVS.items():
        (tmp_path / "said.csv").write_bytes(text)
        listing = list_source(SourceConfig(".", attributes="said.csv"), tmp_path)
        found = {name: {k: v for k, v in row.items() if k in ("year", "title")} for name, row in said(listing).items()}
        assert found == {
            "a.png": {"year": "1880", "title": "x"},
            "p/b.png": {"year": "1890", "title": "y"},
            "p/c.png": {},
        }, what
        assert listing.labels == {"pictures without a row": 1}, what


def test_rows_that_do_not_say_which_picture(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png", "c.png")
    (tmp_path / "said.csv").write_text("file,x\n1.png,1\nc.png,2\ngone.png,3\n")
    listing = list_source(SourceConfig(".", attributes="said.csv"), tmp_path)
    assert said(listing) == {"a/1.png": {}, "b/1.png": {}, "c.png": {"x": "2"}}
    assert listing.labels == {
        "pictures without a row": 2,
        "rows of missing pictures": 1,
        "rows with a name that several pictures have": 1,
    }
    (tmp_path / "said.csv").write_text("file,x\nc.png,1\nc.png,2\n")
    with pytest.raises(ValueError, match=r"line 3: c.png has a row already, with other values"):
        list_source(SourceConfig(".", attributes="said.csv"), tmp_path)
    (tmp_path / "said.csv").write_text("file,x\nother.png,1\n")
    with pytest.raises(ValueError, match=r"names none of the pictures: .* names 'other.png', .* called 'a/1.png'"):
        list_source(SourceConfig(".", attributes="said.csv"), tmp_path)


def test_what_lies_beside_pictures_is_counted(tmp_path: Path) -> None:
    coco(tmp_path)
    put(
        tmp_path,
        "train2017/1.xmp",
        "train2017/1.mov",
        "train2017/1.cr2",
        "@eaDir/1.jpg/a.jpg",
        "__MACOSX/annotations/._i.json",
    )
    put(tmp_path, "__MACOSX/annotations/._instances_train2017.json", "notes.txt")
    listing = list_source(SourceConfig(str(tmp_path)), tmp_path)
    assert len(listing.entries) == 3
    assert listing.skipped == {
        "AppleDouble": 2,
        "raw file of a picture": 1,
        "sidecar": 1,
        "text or document": 1,
        "thumbnails": 1,
        "video": 1,
    }
