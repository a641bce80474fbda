"""A model at the sizes that people look at: 256 px, and the size that the dataset keeps its pictures in.

A generator may be good at its training's size and leave dots or too fine a texture in larger pictures. Fewer pictures
are measured there, since a picture of twice the size takes four times as long.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from atelier.tasks.dataset.subsets import Picture, spread
from atelier.tasks.evaluation.measure_models import Measurement, measure_models, summarize
from atelier.tasks.evaluation.metric_catalogue import AT_SIZES
from atelier.tasks.images.codec import decode
from atelier.tasks.runtime.progress import Progress, Report

VIEWED_PX = 256
MOST_PX = 1024  # a side that is measured, at most
LEAST_LARGER = 1.1  # times the training's size: what is nearer is the same


def viewing_sizes(trained_px: int, photos: Sequence[Picture]) -> list[int]:
    """Sides that a model is measured at besides its training's, in px, smaller first.

    The dataset's own size is the median short side of its pictures; they are never enlarged for a measurement.
    """
    own = int(median(min(decode(photo.data).shape[:2]) for photo in photos))
    return sorted({px for px in (min(VIEWED_PX, own), min(MOST_PX, own)) if px > LEAST_LARGER * trained_px})


def at_viewing_sizes(on: Measurement) -> list[Measurement]:
    """The measurements at the viewing sizes that go with one at the training's size, of some of its pictures."""
    photos, paintings = (spread(of, on.config.viewed_pictures) for of in (on.photos, on.paintings))
    found = []
    for px in viewing_sizes(on.size_px, photos) if min(len(photos), len(paintings)) >= 2 else ():
        batch = max(1, round(on.config.batch * (on.size_px / px) ** 2))  # the memory is that of the training's size
        config = replace(on.config, batch=batch)
        found.append(replace(on, config=config, photos=photos, paintings=paintings, size_px=px))
    return found


def measure_sizes(model: Path, sizes: Sequence[Measurement], report: Report) -> dict[str, Any]:
    """Measure a model that paints at each viewing size; Ray must be connected.

    Returns:
        "sizes" as `reports/evaluation.json` holds it: by side in px, the metrics of `AT_SIZES` and the counts of
        pictures; nothing where there is no such size.
    """
    found: dict[str, Any] = {}
    sections = {one.section for one in AT_SIZES}
    for on in sizes:

        def tell(progress: Progress, px: int = on.size_px) -> None:
            report(replace(progress, note=f"at {px} px"))

        metrics, _ = summarize(measure_models([model], on, "evaluate", tell), on)
        found[str(on.size_px)] = {"counts": on.counts, **{name: metrics[name] for name in metrics if name in sections}}
    return {"sizes": found} if found else {}
