"""README.md of the dataset: a dataset card, from which Hugging Face `datasets` knows splits and features.

`datasets.load_dataset("data/dataset")` gives the splits `train` and `test` (what is held out), with decoded pictures.
Format: https://huggingface.co/docs/datasets/repository_structure and https://huggingface.co/docs/hub/datasets-cards
"""

import io
from pathlib import Path

import pyarrow as pa
from ruamel.yaml import YAML

from atelier.tasks.dataset.shards import SCHEMA, Card, select
from atelier.tasks.runtime.files import write

HUB_CARD = "README.md"
_SPLITS = {"train": "train", "holdout": "test"}  # a split here: there


def write_hub_card(folder: Path, card: Card) -> None:
    """Write the card, complete or not at all."""
    files = [
        {"split": theirs, "path": [shard.file for shard in select(card.shards, split=ours)]}
        for ours, theirs in _SPLITS.items()
    ]
    features = [{"name": field.name, "dtype": _dtype(field)} for field in SCHEMA]
    content = {
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"config_name": "default", "features": features},
    }
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(content, text)
    counts = "\n".join(
        f"- {domain}: {card.rows(domain, 'train')} training pictures, {card.rows(domain, 'holdout')} held out"
        for domain in card.domains
    )
    write(folder / HUB_CARD, f"---\n{text.getvalue()}---\n\nDataset {card.id}\n\n{counts}\n".encode())


def _dtype(field: pa.Field) -> str:
    """The type of a column as `datasets` names it."""
    return "image" if pa.types.is_struct(field.type) else str(field.type)
