"""COCO's annotation files: the categories that are annotated in each picture.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; https://cocodataset.org/#format-data.
"""

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from atelier.tasks.dataset.label_join import PictureNames

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
    names = PictureNames(pictures)
    categories: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    examples: list[str] = []
    for file, text in files.items():
        try:
            _read(json.loads(text), file, names, categories, counts, examples)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{file} of source {spec} is not a COCO annotation file: {error!r}") from error
    if examples and not categories:
        raise ValueError(
            f"the annotations of source {spec} name none of its pictures: they name {examples[0]!r}, and a picture is "
            f"called {next(iter(pictures), '')!r}"
        )
    return categories, counts


def _read(
    content: dict[str, Any],
    file: str,
    names: PictureNames,
    categories: dict[str, set[str]],
    counts: Counter[str],
    examples: list[str],
) -> None:
    known = {category["id"]: str(category["name"]) for category in content.get("categories", ())}
    file_of = {picture["id"]: str(picture["file_name"]) for picture in content["images"]}
    # annotations/instances_train2017.json is of the folder train2017
    split = posixpath.basename(file).removesuffix(".json").partition("_")[2]
    joined = names.join(file_of.values(), split)
    counts["annotated pictures that are missing"] += len(joined.missing)
    counts["annotated names that several pictures have"] += len(joined.ambiguous)
    examples += [*joined.missing[:1], *joined.ambiguous[:1]]
    for picture in joined.found.values():
        categories.setdefault(picture, set())
    for annotation in content.get("annotations", ()):
        if "category_id" not in annotation:  # captions and key points have none
            continue
        name = file_of.get(annotation["image_id"])
        category = known.get(annotation["category_id"])
        if name is None or category is None:
            counts["annotations of no listed picture" if name is None else "annotations of no listed category"] += 1
        elif name in joined.found:
            categories[joined.found[name]].add(category)
