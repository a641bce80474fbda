"""What a job is, as its manifest says: source, model and parameters; and what it needs of its destination.

A run and a dry run check the same.
"""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atelier.models.controls import Controls
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.inference.chain import ARROW
from atelier.tasks.inference.config import CONTROLS, StylizeConfig
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.location import is_url
from atelier.tasks.storage.open_source import locate

FORMAT = 2  # of job.json
MIN_FREE_BYTES = 16 * 2**20  # free space below which a job does not start
# parameters that do not change outputs; masks are identified by their content, in `Controls.said`
NO_PARAMETERS = ("chain", "masks", "stages", "max_bytes", "max_pixels", "max_frames", "salvage", "picture_timeout_s")

# parameters that the manifest names only where they are not the default: jobs of versions without them keep theirs
ADDED_PARAMETERS = ("stroke", "mask_from", "keep_from", "remove", "insert", "regions", "palette", "noise", "video")


def manifest_of(
    request: StylizeRequest, controls: Sequence[Controls], destination: Destination
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest of a job, and the default of each parameter.

    Args:
        request: the job.
        controls: of each model of its chain; those of the first are among the parameters.
        destination: of the job.

    Raises:
        ValueError: a source contains the destination, or the reverse.
    """
    sources = [_manifest_source(source, request.base, destination) for source in request.sources]
    defaults, parameters = _parameters(StylizeConfig()), _parameters(request.config)
    changed = {key: value for key, value in parameters.items() if key not in ADDED_PARAMETERS or value != defaults[key]}
    manifest: dict[str, Any] = {"format": FORMAT, "source": sources[0] if len(sources) == 1 else sources}
    manifest |= {"model": asdict(request.identity), "parameters": changed | controls[0].changed()}
    then = [
        {"model": asdict(step.identity), "controls": one.changed()}
        for step, one in zip(request.then, controls[1:], strict=True)
    ]
    return manifest | ({"then": then} if then else {}), defaults


def check_space(destination: Destination, todo: pa.Table, scale: int) -> None:
    """Refuse to start where the outputs do not fit, estimated at half the size of the inputs, times their scale²."""
    needed, free = int(pc.sum(todo["size"]).as_py() or 0) * scale**2 // 2, destination.free_bytes()
    if todo.num_rows and free is not None and free < max(needed, MIN_FREE_BYTES):
        raise RuntimeError(
            f"{destination} has {free / 1e6:,.0f} MB free, and the outputs need more than "
            f"{max(needed, MIN_FREE_BYTES) / 1e6:,.0f} MB: make room or choose another destination"
        )


def check_own(destination: Destination) -> None:
    """Check that a destination holds nothing but a job's outputs; it need not exist.

    Raises:
        NotADirectoryError, ValueError: it does not; the message says what to do.
        RuntimeError: it cannot be read.
    """
    with destination_errors(destination):
        if not (destination / RESERVED).names() and destination.names():
            raise ValueError(f"destination {destination} holds other files: choose a new or empty folder")


@contextmanager
def destination_errors(destination: Destination) -> Iterator[None]:
    """Turn an OSError of the destination into an error with a message for the user."""
    try:
        yield
    except NotADirectoryError as error:
        raise NotADirectoryError(f"destination {destination} is not a folder: choose another one") from error
    except BlockingIOError as error:
        since = f" ({error})" if error.errno is None else ""  # details of the destination
        raise RuntimeError(
            f"another job is running on {destination}{since}: wait until it ends, or choose another destination"
        ) from error
    except OSError as error:
        raise RuntimeError(f"destination {destination} cannot be written: {error.strerror or error}") from error


def _parameters(config: StylizeConfig) -> dict[str, Any]:
    """The parameters that outputs depend on, as JSON values."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return {name: value for name, value in found.items() if name not in NO_PARAMETERS}


def _manifest_source(source: str, base: Path, destination: Destination) -> str:
    """A source as the manifest names it.

    Raises:
        ValueError: the source contains the destination, so that outputs would become inputs, or the reverse.
    """
    place = source.rstrip("/") if is_url(source) else str(locate(source, base))
    location = destination.location
    target = location if is_url(location) else str(Path(location).resolve())
    is_folder = is_url(place) or Path(place).is_dir()
    if is_folder and (f"{target}/".startswith(f"{place}/") or f"{place}/".startswith(f"{target}/")):
        raise ValueError(f"source {source} and destination {destination} lie in each other: choose another destination")
    return place


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any, Any]]:
    """Leaves of the new manifest: name, old value, new value."""
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            yield from differences(before, value, f"{prefix}{key} ")
        elif isinstance(value, list) and isinstance(before, list) and len(value) == len(before):
            yield from ((f"{prefix}{key} {n}", *pair) for n, pair in enumerate(zip(before, value, strict=True), 1))
        else:
            yield prefix + key, before, value


def in_words(
    existing: dict[str, Any], wanted: dict[str, Any], changed: Iterable[tuple[str, Any, Any]]
) -> Iterator[str]:
    """The differences of two manifests, in words; both have `then`, the further models of their chains."""
    before, now = ([of.get("model", {}), *(step.get("model", {}) for step in of["then"])] for of in (existing, wanted))
    if before != now:
        yield f"it was made by {_models(before, now)}, you ask for {_models(now, before)}"
    for key, old, new in changed:
        if key.startswith("then "):  # a step of two chains of the same length
            had = old.get("controls")
            if had != new["controls"]:
                yield f"its {new['model']['name']} has {_short(had)}, you ask for {_short(new['controls'])}"
        elif key.split()[0] not in ("model", "then"):
            name = key.removeprefix("parameters ")
            of = f" of {now[0]['name']}" if len(now) > 1 and name in CONTROLS else ""
            yield f"its {name}{of} is {_short(old)}, you ask for {_short(new)}"


def _models(models: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> str:
    """The models of a manifest as people call them, in the order in which they paint."""
    beside = itertools.chain(others, itertools.repeat({}))
    return ARROW.join(_model(model, other) for model, other in zip(models, beside, strict=False))


def _model(model: dict[str, Any], other: dict[str, Any]) -> str:
    """A model in a manifest as people call it; by its weights where another has the same name."""
    name, version = (str(model.get(key, "")) for key in ("name", "version"))
    called = f"{name}@{version}" if version else name or "no model"
    same = (other.get("name", ""), other.get("version", "")) == (name, version) and other != model
    return f"{called} with the weights {str(model.get('weights_sha256', ''))[:12]}" if same else called


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)  # as the manifest has it
    text = re.sub(r"[0-9a-f]{64}", lambda sha256: sha256[0][:12], text)
    return text if len(text) <= 100 else text[:99] + "…"
