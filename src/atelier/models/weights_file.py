"""The header of a safetensors file, checked against the file and its bounds before any of it is loaded; without torch.

Layout: 8 bytes, the header's length; the header, a JSON object of tensors; then their bytes, one after the other.
"""

import json
import math
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 2**22
MAX_DIMENSIONS = 8
_BYTES = {  # of an element
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
TensorType = tuple[str, tuple[int, ...]]  # data type as safetensors names it, and shape


def read_header(path: Path) -> dict[str, TensorType]:
    """Type and shape of each tensor of a safetensors file. Its tensors fill the file without gap or overlap.

    Raises:
        ValueError: they do not, or the header is damaged or longer than `MAX_HEADER_BYTES`.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if 8 + length > size:
            raise ValueError("its header is cut off")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header has {length} bytes, more than {MAX_HEADER_BYTES}")
        header = file.read(length)
    try:
        tensors = dict(json.loads(header))
        tensors.pop("__metadata__", None)
        found = sorted((_tensor(name, one) for name, one in tensors.items()), key=lambda one: one[2:])
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its header is damaged: {error}") from error
    end = 0
    for name, _, begin, until in found:
        if begin != end:
            raise ValueError(f"the bytes of {name} do not follow those before them")
        end = until
    if size != 8 + length + end:
        raise ValueError(f"it has {size} bytes and should have {8 + length + end}")
    return {name: kind for name, kind, _, _ in found}


def _tensor(name: str, entry: Any) -> tuple[str, TensorType, int, int]:
    """A tensor of the header: its name, type and shape, first byte, and the byte after its last."""
    kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    numbers = [*shape, begin, end]
    if len(shape) > MAX_DIMENSIONS or any(type(one) is not int or not 0 <= one < 2**63 for one in numbers):
        raise ValueError(f"{name[:100]!r} has an impossible shape or place")
    if end - begin != math.prod(shape) * _BYTES[kind]:
        raise ValueError(f"{name[:100]!r} has {end - begin} bytes, other than its shape and type need")
    return name, (kind, tuple(shape)), begin, end


def mismatch(error: Exception) -> str:
    """What does not fit, of an error of `load_state_dict` or of safetensors: the last line names a tensor."""
    return str(error).splitlines()[-1].strip()
