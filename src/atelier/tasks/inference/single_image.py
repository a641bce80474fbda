"""Stylizing a single picture in this process, without a cluster and without job state."""

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from atelier.models.card import ModelIdentity
from atelier.models.controls import Controls
from atelier.tasks.images import writer
from atelier.tasks.images.codec import BadImage, Pixels, check_pixels, read_file
from atelier.tasks.images.formats import FORMAT_OF_SUFFIX, output_format
from atelier.tasks.images.provenance import Provenance, read, xmp_packet
from atelier.tasks.images.reader import DecodedImage
from atelier.tasks.images.sixteen_bit import SixteenBit
from atelier.tasks.inference.chain import Step, controls_of, scale_of
from atelier.tasks.inference.config import StylizeConfig, provenance_parameters
from atelier.tasks.inference.controls import labels_location
from atelier.tasks.inference.execution_plan import Execution
from atelier.tasks.inference.input_limits import InputLimits, input_size, limits_for, read_image
from atelier.tasks.inference.label_pictures import LabelPicture, kinds_of, read_kept, read_labels, with_found, with_kept
from atelier.tasks.inference.output_names import RESERVED, plan_outputs
from atelier.tasks.runtime.files import write


@dataclass(frozen=True)
class SingleImageResult:
    """The result."""

    file: Path
    width: int  # of the output, px
    height: int
    seconds: float  # with loading the model
    painted: bool  # False if the same result existed already, and after a dry run

    @property
    def summary(self) -> str:
        """The result in a line."""
        if self.painted:
            return f"{self.file}: {self.width} × {self.height}, {self.seconds} s"
        if self.file.exists():
            return f"{self.file} exists already: it is this very result"
        return f"{self.file}: {self.width} × {self.height} would be made; nothing was written"


def stylize_image(
    picture: Path,
    out: Path,
    model: Path,
    config: StylizeConfig,
    identity: ModelIdentity,
    base: Path = Path(),
    *,
    then: tuple[Step, ...] = (),
    dry_run: bool = False,
) -> SingleImageResult:
    """Stylize one picture into a file or folder. A file that is exactly this result already is kept.

    Args:
        picture: the input.
        out: a file name with a suffix of `FORMAT_OF_SUFFIX`, or a folder, in which the output has the picture's name.
        model: folder of the first model.
        config: parameters, with the controls of the first model.
        identity: of the first model, see `card.identify`.
        base: folder of relative style pictures.
        then: models that paint what the first one made, each what the one before it made.
        dry_run: only check: nothing is painted or written.

    Raises:
        ValueError: the picture cannot be read or written, the method does not support a control, or `out` is in the
            destination of a bulk job.
        FileExistsError: another file has this name.
    """
    started = time.monotonic()
    steps = (Step(model, identity, config), *then)
    controls = controls_of(steps, base)
    target, format = _target(picture, out, config)
    scale = scale_of(steps)
    limits = InputLimits(config.max_bytes, config.max_pixels // scale**2, scale=scale)
    data = read_file(picture, limits)
    try:
        decoded = read_image(data, limits, format, config)
    except BadImage as error:
        raise BadImage(f"{picture} cannot be read: {error}") from error
    labels, kept = _label_pictures(picture, decoded, controls, config, limits, base)
    shown = {name: found.sha256 for name, found in (("labels", labels), ("kept", kept)) if found and found.sha256}
    parameters = provenance_parameters(controls, config) | shown
    models = tuple(step.identity for step in then)
    provenance = Provenance(identity, parameters, hashlib.sha256(data).hexdigest(), then=models)
    height, width = (scale * size for size in decoded.frames[0].pixels.shape[:2])
    if target.exists():
        with suppress(BadImage):
            if target.is_file() and read(target.read_bytes()) == provenance:
                return SingleImageResult(target, width, height, 0.0, painted=False)
        raise FileExistsError(f"{target} exists and is another file: choose another name")
    if dry_run:
        return SingleImageResult(target, width, height, 0.0, painted=False)

    made = _painted(picture, decoded, steps, controls, config, labels)
    painted = [with_kept(paint, frame.pixels, kept) for paint, frame in zip(made, decoded.frames, strict=True)]
    xmp, strip = xmp_packet(provenance), config.metadata == "strip"
    write(target, writer.write(decoded, painted, format, quality=config.quality, xmp=xmp, strip=strip))
    return SingleImageResult(target, width, height, round(time.monotonic() - started, 2), painted=True)


def _target(picture: Path, out: Path, config: StylizeConfig) -> tuple[Path, str]:
    """The output file and its format. Raises ValueError where it would lie in the destination of a bulk job."""
    suffix = "" if out.is_dir() else out.suffix.lower()
    if suffix in FORMAT_OF_SUFFIX:
        target, format = out, FORMAT_OF_SUFFIX[suffix]
    else:
        target = out / plan_outputs([picture.name], config.format, {})[picture.name]
        format = output_format(picture.name, config.format)
    if job := next((folder for folder in target.absolute().parents if (folder / RESERVED).is_dir()), None):
        raise ValueError(f"{target} is in {job}, which is the destination of a bulk job: choose another place")
    return target, format


def _painted(
    picture: Path,
    decoded: DecodedImage,
    steps: Sequence[Step],
    controls: Sequence[Controls],
    config: StylizeConfig,
    labels: LabelPicture | None,
) -> list[Pixels | SixteenBit]:
    """The frames of a picture as the models paint them. Raises ValueError where they are too large for one."""
    import torch

    from atelier.models import artifact
    from atelier.tasks.inference import backends

    models = [artifact.load(step.model) for step in steps]
    plans = list(map(backends.default_plan, models, controls))
    pixels = sum(frame.pixels.size // 3 for frame in decoded.frames)
    check_pixels(pixels, limits_for(config, *plans), str(picture))
    paint = backends.chain_painter(*zip(models, controls, map(Execution, plans), strict=True))
    places = [torch.from_numpy(labels.labels.copy())[None]] if labels else []  # (1, H, W)
    painted: list[Pixels | SixteenBit] = []
    for frame in decoded.frames:
        batch = torch.from_numpy(frame.pixels.copy()).permute(2, 0, 1)[None]  # (1, 3, H, W)
        painted.append(paint(batch, *places)[0].permute(1, 2, 0).contiguous().numpy())
    return painted


def _label_pictures(
    picture: Path,
    decoded: DecodedImage,
    controls: Sequence[Controls],
    config: StylizeConfig,
    limits: InputLimits,
    base: Path,
) -> tuple[LabelPicture | None, LabelPicture | None]:
    """Where styles or holes are, and what stays. Raises BadImage where a label picture is missing, or another one."""
    labels_from, keep_from = (labels_location(folder, base) for folder in (config.mask_from, config.keep_from))
    given = picture.name, decoded, limits, input_size(config, limits.scale)
    try:
        labels = read_labels(labels_from, *given) if labels_from else None
        kept = read_kept(keep_from, *given) if keep_from else None
        return with_found(labels, decoded, kinds_of(controls)), kept
    except BadImage as error:
        raise BadImage(f"{picture}: {error}") from error
