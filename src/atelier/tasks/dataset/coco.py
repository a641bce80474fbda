"""COCO's annotation files: the categories that are annotated in each picture.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; https://cocodataset.org/#format-data.
"""

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from atelier.tasks.dataset.label_join import Label, PictureNames

FILE = re.compile(r"(^|/)annotations/[^/]*\.json$")


def read_categories(
    files: Mapping[str, str], pictures: Iterable[str], spec: str
) -> tuple[dict[str, set[str]], Counter[str]]:
    """The categories of each picture that is annotated, by its name, and how many labels found no picture.

    Args:
        files: name and text of each annotation file.
        pictures: names of the source's pictures.
        spec: the source as the user wrote it.

    Raises:
        ValueError: a file is no COCO annotation file, or no file names any picture.
    """
    counts: Counter[str] = Counter()
    categories_of: dict[Label, set[str]] = {}
    for file, text in files.items():
        try:
            _read(json.loads(text), posixpath.basename(file).removesuffix(".json"), categories_of, counts)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{file} of source {spec} is not a COCO annotation file: {error!r}") from error
    joined = PictureNames(pictures).join(categories_of)
    if categories_of and not joined.found:
        named, called = next(iter(categories_of)).name, next(iter(pictures), "")
        raise ValueError(
            f"the annotations of source {spec} name none of its pictures: they name {named!r}, and a picture is called "
            f"{called!r}"
        )
    counts["annotated pictures that are missing"] += len(joined.missing)
    counts["annotated names that several pictures have"] += len(joined.ambiguous)
    categories: dict[str, set[str]] = {}
    for label, picture in joined.found.items():
        categories.setdefault(picture, set()).update(categories_of[label])
    return categories, counts


def _read(content: dict[str, Any], hint: str, categories_of: dict[Label, set[str]], counts: Counter[str]) -> None:
    """Add the categories of one file."""
    known = {category["id"]: str(category["name"]) for category in content.get("categories", ())}
    label_of = {picture["id"]: Label(str(picture["file_name"]), hint) for picture in content["images"]}
    for label in label_of.values():
        categories_of.setdefault(label, set())
    for annotation in content.get("annotations", ()):
        if "category_id" not in annotation:  # captions have none
            continue
        picture = label_of.get(annotation["image_id"])
        category = known.get(annotation["category_id"])
        if picture is None or category is None:
            counts["annotations of no listed picture" if picture is None else "annotations of no listed category"] += 1
        else:
            categories_of[picture].add(category)
