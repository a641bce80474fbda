"""Which planted copies of training pictures the memorisation audit finds, and what it says of new photographs.

    python benchmarks/memorisation.py WORKSPACE/data/dataset DOMAIN [--size 64] [--model FOLDER]

Every hundredth training picture is planted: as it is, and changed as below. Held-out pictures are new ones of the same
kind, so that the share of them that is called copies is the audit's error, and smoothed ones stand for what a generator
makes that has not learned detail. Beside the shares is the time of a first and of a later audit. Where the weights for
faces are installed, see docs/metrics.md, there are also the shares that are found by whose face it is. The first
pictures of a MODEL that was trained on the dataset are compared too.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.metrics.memorisation import Limits
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import files, held_out_pictures
from atelier.tasks.evaluation import memorisation
from atelier.tasks.evaluation.measure_models import Measurement
from atelier.tasks.evaluation.measures import center_squares
from atelier.tasks.evaluation.memorisation_audit import training_split
from atelier.tasks.evaluation.protocol import EMBEDDER, EvaluateConfig, choose_encoder
from atelier.tasks.images.codec import decode, encode
from training import hardware

RESULTS = Path(__file__).parent / "results" / "memorisation.json"
EVERY = 100
HELD_OUT = 600


def compressed(pictures: Tensor, quality: int) -> Tensor:
    whole = [decode(encode(one.permute(1, 2, 0).numpy(), "jpeg", quality=quality)) for one in pictures]
    return torch.from_numpy(np.stack(whole)).permute(0, 3, 1, 2)


def resized(pictures: Tensor, size: int) -> Tensor:
    return F.interpolate(pictures.float(), (size, size), mode="bilinear", antialias=True).round().clamp(0, 255).byte()


def cropped(pictures: Tensor, px: int) -> Tensor:
    return resized(pictures[..., px:-px, px:-px], pictures.shape[3])


def changed(planted: Tensor) -> dict[str, Tensor]:
    size = planted.shape[3]
    return {
        "as they are": planted,
        "JPEG of quality 60": compressed(planted, 60),
        "mirrored, JPEG of quality 75": compressed(planted.flip(3).contiguous(), 75),
        "15 % lighter": (planted * 1.15).clamp(0, 255).byte(),
        "at half the resolution": resized(resized(planted, size // 2), size),
        "cropped by 3 % on each side": cropped(planted, round(size * 0.03)),
        "cropped by 6 % on each side, mirrored": cropped(planted.flip(3), round(size * 0.06)),
    }


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("domain")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--model", type=Path, help="one that generates")
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    card = read_card(given.dataset)
    held_out = held_out_pictures(given.dataset, card, given.domain, HELD_OUT)
    with tempfile.TemporaryDirectory() as temporary:
        cache = given.cache or Path(temporary)
        on = Measurement(EvaluateConfig(), held_out, held_out, given.size, choose_encoder(EMBEDDER), cache)
        spec = training_split(given.dataset, card, given.domain, on)
        started = time.process_time()
        points = [memorisation.embed_shard(spec, shard) for shard in range(len(spec.shards))]
        known = torch.from_numpy(np.concatenate(points)).float()
        auditor = memorisation.Auditor(spec)
        limits = Limits.of(auditor.between_training(known))
        first = time.process_time() - started
        new = center_squares(files(held_out), given.size)
        smooth = resized(resized(new[:100], given.size // 4), given.size)
        sets = {"held-out pictures": new, "held-out pictures at a quarter of the resolution": smooth}
        sets |= changed(auditor.training(range(0, len(known), EVERY)))
        if given.model:
            trained = artifact.load(given.model)
            made = [trained.generate(0, range(start, start + 50)) for start in range(0, HELD_OUT, 50)]
            sets["generated"] = torch.cat(made)
        found, seconds = {}, {}
        for name, pictures in sets.items():
            started = time.process_time()
            near = memorisation.joined([auditor.compared(part, known) for part in torch.split(pictures, 256)])
            found[name] = {
                "pictures": len(pictures),
                "either": float((near.shares(limits) < 1).mean()),
                "embedding": float((near.embedding < limits.embedding).mean()),
                "lpips": float((near.lpips < (limits.lpips or 0)).mean()),
            }
            if (persons := auditor.persons(pictures)) is not None:
                found[name] |= {"persons": float((persons.distance < persons.limit).mean())}
                found[name] |= {"median_of_persons": float(np.median(persons.distance)), "persons_limit": persons.limit}
            seconds[name] = (time.process_time() - started) / len(pictures)
            print(name, found[name], flush=True)
    written = {
        "hardware": hardware(), "dataset": card.id[:12], "size_px": given.size, "training_pictures": len(known),
        "limits": vars(limits), "found": found, "first_audit_cpu_seconds": first,
        "cpu_seconds_per_picture": seconds["held-out pictures"],
    }  # fmt: skip
    RESULTS.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
