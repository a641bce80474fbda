"""Which changes of the data stop a night, and how often a night stops for nothing.

    python benchmarks/drift.py PHOTOS MONET [OTHER]

PHOTOS, MONET and OTHER are folders of pictures: what `prod` was trained on, paintings, and photographs from elsewhere;
without them the embedded samples are taken, whose windows overlap, so that their figures are optimistic. A night is 300
of the photographs that `prod` had, and N arrivals of which a share is foreign: paintings, photographs from elsewhere,
or other photographs darkened by 30 %, blurred (σ 1.5 px of 256) or compressed (JPEG, quality 20). Each night is drawn
a hundred times, never with a picture on both sides, and judged by `data_checks` as it is set up, at the level that two
domains leave each. Rates have Wilson intervals of 95 %. KID's polynomial kernel is beside the one that is used.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from atelier.models.metrics.drift import distances, drift
from atelier.models.metrics.kid import polynomial_kernel
from atelier.tasks.dataset import checks
from atelier.tasks.dataset.checks import ChecksConfig, Finding
from atelier.tasks.dataset.image_statistics import measure_pictures
from atelier.tasks.dataset.profile import ENCODER, DomainProfile, Profile
from atelier.tasks.dataset.shards import Card
from atelier.tasks.images.codec import Pixels, decode, encode, resize
from atelier.tasks.runtime import encoder_weights
from atelier.tasks.storage import sample_images
from training import hardware

RESULTS = Path(__file__).parent / "results" / "drift.json"
NIGHTS = 100
PROD = 300
ARRIVALS = (16, 32, 100, 300)
SHARES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
SIDE_PX = 160  # as `ingest.size_px` has it
DOMAINS = 2
Night = tuple[np.ndarray, np.ndarray]


def darkened(picture: Pixels) -> Pixels:
    return (picture * 0.7).astype(np.uint8)


def blurred(picture: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def compressed(picture: Pixels) -> Pixels:
    return decode(encode(picture, "jpeg", quality=20))


def pictures(folder: Path | None, domain: str) -> list[Pixels]:
    """Of a folder, or embedded ones, decoded."""
    if folder is None:
        spec = f"sample://{domain}"
        return [decode(sample_images.read(crop.name, spec)) for crop in sample_images.list_crops(spec)]
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise SystemExit(f"{folder} holds no pictures")
    return [decode(path.read_bytes()) for path in files]


def statistics(found: list[Pixels], change: Callable[[Pixels], Pixels] = lambda picture: picture) -> np.ndarray:
    """What `data_checks` sees of them, changed and then shrunk as `ingest` does."""
    weights, parts = encoder_weights.resolve(ENCODER), []
    for first in range(0, len(found), 64):
        batch = []
        for picture in found[first : first + 64]:
            height, width = picture.shape[:2]
            scale = min(1.0, SIDE_PX / min(height, width))
            batch.append(resize(change(picture), round(width * scale), round(height * scale)))
        parts.append(measure_pictures(batch, weights))
    return np.concatenate(parts)


def draw(own: np.ndarray, foreign: np.ndarray | None, count: int, share: float, seed: int, same: bool) -> Night:
    """Prod's pictures and a night's arrivals; `same` where the foreign are the own ones, changed."""
    generator = np.random.default_rng([seed, count])
    order = generator.permutation(len(own))
    had = min(PROD, len(own) // 2)
    prod, rest = order[:had], order[had:]
    strange = round(count * share)
    new = [own[rest[: count - strange]]]
    if foreign is not None and strange:
        new.append(foreign[rest[count - strange : count] if same else generator.permutation(len(foreign))[:strange]])
    return own[prod], np.concatenate(new)


def judge(night: Night) -> list[Finding]:
    """The findings of `validate` that compare image statistics."""
    sides = []
    for name, side in zip("pn", night, strict=True):
        sides.append({f"{name}{i}": row for i, row in enumerate(side)})
    before = DomainProfile({id: id for id in sides[0]}, len(sides[0]), sides[0])
    everything = sides[0] | sides[1]
    now = DomainProfile({id: id for id in everything}, len(everything), everything)
    config = ChecksConfig(drift_p=ChecksConfig().drift_p / DOMAINS)
    card = Card(1, ())
    return checks.validate(config, Profile("", {}, {"photos": now}), Profile("", {}, {"photos": before}), card, card)


def polynomial(night: Night, seed: int) -> bool:
    """Whether KID's kernel sees the night, on features as they are, by the same test."""
    features = np.concatenate(night)[:, 7:].astype(np.float64)
    kernel = polynomial_kernel(features, features)
    here = np.concatenate([np.zeros(len(night[0])), np.ones(len(night[1]))])
    rows = np.concatenate([here[None], np.random.default_rng(seed).permuted(np.tile(here, (1999, 1)), axis=1)])
    found = distances(kernel, rows)
    return bool((found >= found[0] - 1e-12).mean() <= ChecksConfig().drift_p / DOMAINS)


def rate(hits: int, count: int) -> dict[str, float]:
    """A rate with its Wilson interval."""
    z, p = 1.96, hits / count
    middle, half = p + z * z / (2 * count), z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    low, high = ((middle + sign * half) / (1 + z * z / count) for sign in (-1, 1))
    return {"rate": p, "low": round(max(0.0, low), 3), "high": round(min(1.0, high), 3)}


def measure(
    own: np.ndarray, foreign: np.ndarray | None, count: int, share: float, nights: int, same: bool
) -> dict[str, Any]:
    """How many of the nights stop, by drift or by any check of image statistics."""
    stops, drifts, others, apart = 0, 0, 0, []
    for seed in range(nights):
        night = draw(own, foreign, count, share, seed, same)
        found = [finding for finding in judge(night) if finding.name in ("drift", "colour", "size")]
        stopped = {finding.name for finding in found if not finding.passed}
        stops += bool(stopped)
        drifts += "drift" in stopped
        others += polynomial(night, seed)
        apart.append(next(finding.value for finding in found if finding.name == "drift"))
    return {
        "stops": rate(stops, nights),
        "drift": rate(drifts, nights),
        "polynomial": rate(others, nights),
        "distance": round(float(np.median(apart)), 4),
    }


def main() -> None:
    """Measure, print and write `results/drift.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="PHOTOS MONET [OTHER]")
    parser.add_argument("--nights", type=int, default=NIGHTS)
    parser.add_argument("--arrivals", type=int, nargs="*", default=ARRIVALS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    folders: list[Path | None] = [*arguments.folders, None, None, None]
    photographs = pictures(folders[0], "photos")
    own = statistics(photographs)
    kinds = {"paintings": (statistics(pictures(folders[1], "paintings")), False)}
    if folders[2] is not None:
        kinds["other photographs"] = (statistics(pictures(folders[2], "photos")), False)
    kinds |= {change.__name__: (statistics(photographs, change), True) for change in (darkened, blurred, compressed)}
    result: dict[str, Any] = {
        "hardware": hardware(),
        "pictures": {
            "embedded": folders[0] is None,
            "photos": len(own),
            **{name: len(of) for name, (of, same) in kinds.items() if not same},
        },
        "nights": arguments.nights,
        "level": ChecksConfig().drift_p / DOMAINS,
        "drift_min": ChecksConfig().drift_min,
        "honest": {},
        "foreign": {},
    }
    most = len(own) - min(PROD, len(own) // 2)
    for count in (count for count in arguments.arrivals if count <= most):
        result["honest"][count] = measure(own, None, count, 0, arguments.nights, False)
        print("honest", count, result["honest"][count], flush=True)
        for name, (foreign, same) in kinds.items():
            found: dict[str, Any] = {}
            for share in SHARES:
                if round(count * share) > len(foreign):
                    break
                found[str(share)] = measure(own, foreign, count, share, arguments.nights, same)
                print(name, count, share, found[str(share)], flush=True)
                if found[str(share)]["stops"]["rate"] >= 0.95:
                    break  # larger shares are seen too
            seen = [float(share) for share, rates in found.items() if rates["stops"]["rate"] >= 0.95]
            result["foreign"].setdefault(name, {})[count] = {"seen from a share of": min(seen, default=None), **found}
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(500, 40)), generator.normal(size=(500, 40))
    begun = time.perf_counter()
    drift(x, y, 2000, 0)
    result["seconds of 500 against 500, 2000 permutations"] = round(time.perf_counter() - begun, 2)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
