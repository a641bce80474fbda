"""Published weights made into safetensors; run as a process of its own, which is all that ever opens them.

    python -m atelier.tasks.runtime.encoder_conversion NAME PUBLISHED CONVERTED

The caller has checked the sha256. A pickle is read without running anything that it names all the same: Torch's by its
`weights_only`, NumPy's by an unpickler that knows arrays and nothing else.
"""

import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from atelier.models.encoders import ENCODERS
from atelier.tasks.runtime.encoder_weights import SOURCES


class ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries of arrays; anything else that a file asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle of an array names, wherever the NumPy that wrote it had it."""
        wanted = module.replace("numpy._core", "numpy.core"), name
        if wanted == ("numpy.core.multiarray", "_reconstruct"):
            return _empty
        if wanted == ("numpy", "ndarray"):
            return np.ndarray
        if wanted == ("numpy", "dtype"):
            return _number
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which is no part of an array")


def convert(name: str, published: Path, converted: Path) -> None:
    """Write the state dict of an encoder.

    Args:
        name: a key of `SOURCES`.
        published: its weights, as they were published.
        converted: the safetensors file to write.
    """
    with published.open("rb") as file, torch.inference_mode():
        tensors = ENCODERS[name].convert(_READERS[SOURCES[name].kind](file))
    save_file({key: value.contiguous() for key, value in tensors.items()}, converted)


def _state_dict(file: IO[bytes]) -> Mapping[str, Tensor]:
    state: Mapping[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _torchscript(file: IO[bytes]) -> Mapping[str, Tensor]:
    state: Mapping[str, Tensor] = torch.jit.load(file, map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
    return state


def _arrays(file: IO[bytes]) -> Mapping[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in _flat(ArrayUnpickler(file).load(), "")}


_READERS: dict[str, Callable[[IO[bytes]], Mapping[str, Tensor]]] = {
    "state_dict": _state_dict,
    "torchscript": _torchscript,
    "arrays": _arrays,
}


def _flat(nested: dict[str, Any], prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays by their names in all levels, joined by dots."""
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _empty(kind: type[np.ndarray], shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """The array whose contents come next in the pickle."""
    return np.ndarray(shape, np.uint8)


def _number(code: str, align: bool, copy: bool) -> np.dtype[Any]:
    """A data type of numbers; of Python objects there is none."""
    dtype = np.dtype(code, align, copy)
    if dtype.kind not in "biuf":
        raise pickle.UnpicklingError(f"the file holds {code!r}, which are no numbers")
    return dtype


if __name__ == "__main__":
    convert(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
