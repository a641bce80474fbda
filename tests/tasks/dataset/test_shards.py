import json
from pathlib import Path

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from atelier.tasks.dataset.hub_card import HUB_CARD, write_hub_card
from atelier.tasks.dataset.shards import CARD, SCHEMA, Card, read_card, read_rows, split_of, write_card, write_shard


def rows(*ids: str) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "id": id,
                "group": id,
                "image": {"bytes": id.encode(), "path": f"{id}.png"},
                "domain": "photos",
                "split": "train",
                "width": 1,
                "height": 2,
                "source": "s",
                "attributes": "{}",
            }
            for id in ids
        ],
        schema=SCHEMA,
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    shards = (
        write_shard(tmp_path, rows("a", "b"), "photos", "train"),
        write_shard(tmp_path, rows("c"), "x", "holdout"),
    )
    write_card(tmp_path, Card(1, shards, {"note": [1, 2]}))
    card = read_card(tmp_path)
    assert card == Card(1, shards, {"note": [1, 2]})
    assert (card.rows(), card.rows("photos"), card.rows("photos", "holdout"), card.domains) == (
        3,
        2,
        0,
        ["photos", "x"],
    )
    assert read_rows(tmp_path, card)["id"].to_pylist() == ["a", "b", "c"]
    assert read_rows(tmp_path, card, "x", "holdout", ["id", "image"]).to_pylist() == [
        {"id": "c", "image": {"bytes": b"c", "path": "c.png"}}
    ]
    assert read_rows(tmp_path, card, "nothing").num_rows == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([CARD, *(s.file for s in shards)])


def test_equal_rows_are_equal_files(tmp_path: Path) -> None:
    one, two = (write_shard(tmp_path / name, rows("a"), "photos", "train") for name in "xy")
    assert one == two
    assert Card(1, (one,)).id == Card(1, (two,), {"other": "facts"}).id
    assert Card(1, (one,)).id != Card(1, (write_shard(tmp_path, rows("b"), "photos", "train"),)).id


def test_nothing_is_left_of_a_shard_that_fails(tmp_path: Path) -> None:
    with pytest.raises(pa.ArrowInvalid):
        write_shard(tmp_path, rows("a").set_column(5, "width", pa.array(["wide"])), "photos", "train")
    with pytest.raises(ValueError, match="split must be"):
        write_shard(tmp_path, rows("a"), "photos", "test")
    assert not list(tmp_path.iterdir())


def test_splits_depend_on_the_group_alone() -> None:
    splits = {str(i): split_of(str(i), 0.2) for i in range(2000)}
    assert 0.17 < list(splits.values()).count("holdout") / 2000 < 0.23
    assert all(split_of(group, 0.3) == "holdout" for group, split in splits.items() if split == "holdout")
    assert split_of("a", 0) == "train"
    assert split_of("a", 1) == "holdout"


def test_a_missing_or_damaged_card_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="atelier ingest"):
        read_card(tmp_path)
    shard = {"file": "a-train-0.parquet", "sha256": "0", "domain": "a", "split": "train", "rows": 1, "bytes": 2}
    changed = ({"file": "../x.parquet"}, {"file": "/x.parquet"}, {"file": ".."}, {"file": 1}, {"domain": "../a"})
    changed += ({"split": "x"}, {"rows": -1}, {"bytes": True}, {"rows": 1e9})
    cards = [json.dumps({"format": 1, "shards": [shard | one], "facts": {}}) for one in changed]
    texts = ("{", '{"format": 1, "facts": {}}', '{"format": 1, "shards": [{"rows": 1}], "facts": {}}', "[" * 10**5)
    for text in (*texts, *cards):
        (tmp_path / CARD).write_text(text)
        with pytest.raises(ValueError, match="damaged"):
            read_card(tmp_path)


def test_hugging_face_datasets_are_told_splits_and_features(tmp_path: Path) -> None:
    shards = [write_shard(tmp_path, rows(name), "photos", split) for name, split in (("a", "train"), ("b", "holdout"))]
    write_hub_card(tmp_path, Card(1, tuple(shards)))
    _, head, text = (tmp_path / HUB_CARD).read_text().split("---\n")
    told = YAML(typ="safe").load(head)
    (config,) = told["configs"]
    assert {one["split"]: one["path"] for one in config["data_files"]} == {
        "train": [shards[0].file],
        "test": [shards[1].file],
    }
    features = {one["name"]: one["dtype"] for one in told["dataset_info"]["features"]}
    assert list(features) == SCHEMA.names
    assert (features["image"], features["width"], features["id"]) == ("image", "int32", "string")
    assert "photos: 1 training pictures, 1 held out" in text
