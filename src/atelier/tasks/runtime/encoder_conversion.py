"""Conversion of published weights to safetensors, in a process of its own: the only code that opens them.

    python -m atelier.tasks.runtime.encoder_conversion NAME PUBLISHED CONVERTED

The caller has checked the sha256. Even so a pickle runs no code: PyTorch's is read with `weights_only`, NumPy's with an
unpickler that knows only arrays.
"""

import pickle
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from atelier.models.encoders import ENCODERS
from atelier.tasks.runtime.encoder_catalogue import PUBLISHED_WEIGHTS


class ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries of arrays; every other class that a file names is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The classes of a pickled array, by the module names of every NumPy version."""
        wanted = module.replace("numpy._core", "numpy.core"), name
        if wanted == ("numpy.core.multiarray", "_reconstruct"):
            return _empty
        if wanted == ("numpy", "ndarray"):
            return np.ndarray
        if wanted == ("numpy", "dtype"):
            return _number
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which is no part of an array")


def convert(name: str, published: Path, converted: Path) -> None:
    """Write the state dict of an encoder, a key of `PUBLISHED_WEIGHTS`, from its published file as safetensors."""
    with published.open("rb") as file, torch.inference_mode():
        tensors = ENCODERS[name].convert(_read(file, PUBLISHED_WEIGHTS[name].kind))
    save_file({key: value.contiguous() for key, value in tensors.items()}, converted)


def _read(file: IO[bytes], kind: str) -> Mapping[str, Tensor]:
    state: Mapping[str, Tensor]
    if kind == "arrays":
        state = {name: torch.from_numpy(array.copy()) for name, array in _flat(ArrayUnpickler(file).load(), "")}
    elif kind == "torchscript":
        state = torch.jit.load(file, map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
    else:
        state = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _flat(nested: dict[str, Any], prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays of nested dictionaries, with their keys joined by dots."""
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _empty(kind: type[np.ndarray], shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """The array that the pickle fills next."""
    return np.ndarray(shape, np.uint8)


def _number(code: str, align: bool, copy: bool) -> np.dtype[Any]:
    """A data type of numbers; a type of Python objects is refused."""
    dtype = np.dtype(code, align, copy)
    if dtype.kind not in "biuf":
        raise pickle.UnpicklingError(f"the file holds {code!r}, which are no numbers")
    return dtype


if __name__ == "__main__":
    convert(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
