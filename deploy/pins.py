"""requirements.txt and requirements-cuda.txt: the pins of constraints.txt with the SHA-256 of every file of each release.

`make requirements` runs it; `make setup HASHES=1` installs from what it writes. uv resolves for all platforms at once.
"""

import re
import subprocess
import sys
from pathlib import Path

COMPILE = ["pip", "compile", "pyproject.toml", "--extra", "dev", "--constraint", "constraints.txt", "--universal",
           "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header", "--quiet"]  # fmt: skip
# what only torch's CUDA build needs: several GB
CUDA = re.compile(r"(nvidia-(?!ml-py)|cuda-|triton=)")
# torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl: PyTorch's own index has it, the package index does not
TORCH_CPU = "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
HEADER = "# Written by `make requirements`: {}. Install with `pip install --require-hashes --no-deps -r {}`.\n"


def main(uv: str) -> None:
    """Writes both files beside constraints.txt; `uv` is the path of the program."""
    written = subprocess.run([uv, *COMPILE], check=True, capture_output=True, text=True).stdout
    pins = [pin + "\n" for pin in re.split(r"\n(?=\S)", written.strip())]
    plain = [pin for pin in pins if not CUDA.match(pin)]
    torch = next(place for place, pin in enumerate(plain) if pin.startswith("torch=="))
    plain[torch] = plain[torch].rstrip() + f" \\\n    --hash=sha256:{TORCH_CPU}\n"
    for name, what, chosen in (
        ("requirements.txt", "the pins of constraints.txt with hashes, without CUDA's libraries", plain),
        ("requirements-cuda.txt", "what torch's CUDA build needs besides", [pin for pin in pins if CUDA.match(pin)]),
    ):
        Path(name).write_text(HEADER.format(what, name) + "".join(chosen))


if __name__ == "__main__":
    main(*sys.argv[1:])
