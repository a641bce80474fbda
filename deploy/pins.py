"""requirements*.txt: the pins of constraints.txt with the SHA-256 of every file of each release.

`make requirements` runs it; `make setup HASHES=cpu` or `HASHES=cuda` installs from what it writes. uv resolves for all
platforms at once.
"""

import re
import subprocess
import sys
from pathlib import Path

COMPILE = ["pip", "compile", "pyproject.toml", "--extra", "dev", "--constraint", "constraints.txt", "--universal",
           "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header", "--quiet"]  # fmt: skip
# torch's CUDA build of the package index, with several GB that only it needs
CUDA = re.compile(r"(torch=|nvidia-(?!ml-py)|cuda-|triton=)")
# torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl: PyTorch's own index has it, the package index does not
CPU = ["torch==2.13.0+cpu \\\n    --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b\n"]
HEADER = "# Written by `make requirements`: {}.\n# pip install --require-hashes --no-deps -r requirements.txt, with one of the others.\n"


def main(uv: str) -> None:
    """Writes the files beside constraints.txt; `uv` is the path of the program."""
    written = subprocess.run([uv, *COMPILE], check=True, capture_output=True, text=True).stdout
    pins = [pin + "\n" for pin in re.split(r"\n(?=\S)", written.strip())]
    for name, what, chosen in (
        ("requirements.txt", "all but torch", [pin for pin in pins if not CUDA.match(pin)]),
        ("requirements-cpu.txt", "torch without CUDA", CPU),
        ("requirements-cuda.txt", "torch with CUDA", [pin for pin in pins if CUDA.match(pin)]),
    ):
        Path(name).write_text(HEADER.format(what) + "".join(chosen))


if __name__ == "__main__":
    main(*sys.argv[1:])
