"""requirements*.txt: the pins of constraints.txt with the SHA-256 of every file of each release.

`make requirements` runs it; `make setup HASHES=cpu` or `HASHES=cuda` installs from what it writes, and so does the
Dockerfile. uv resolves for all platforms at once.
"""

import re
import subprocess
import sys
from pathlib import Path

COMPILE = ["pip", "compile", "pyproject.toml", "--constraint", "constraints.txt", "--universal", "--python-version",
           "3.11", "--generate-hashes", "--no-annotate", "--no-header", "--quiet"]  # fmt: skip
# torch's CUDA build of the package index, with several GB that only it needs
CUDA = re.compile(r"torch=|nvidia-(?!ml-py)|cuda-|triton=")
# torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl: PyTorch's own index has it, the package index does not
CPU = ["torch==2.13.0+cpu \\\n    --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"]
HEADER = "# Written by `make requirements`: {}.\n# pip install --require-hashes --no-deps -r {} …\n"


def main(uv: str) -> None:
    """Writes the files beside constraints.txt; `uv` is the path of the program."""

    def pins(*extras: str) -> list[str]:
        done = subprocess.run([uv, *COMPILE, *extras], check=True, capture_output=True, text=True)
        return re.split(r"\n(?=\S)", done.stdout.strip())

    needed = pins()
    for name, what, chosen in (
        ("requirements.txt", "what Atelier needs, but torch", [pin for pin in needed if not CUDA.match(pin)]),
        ("requirements-cpu.txt", "torch without CUDA", CPU),
        ("requirements-cuda.txt", "torch with CUDA", [pin for pin in needed if CUDA.match(pin)]),
        (
            "requirements-dev.txt",
            "what the tests need besides",
            [pin for pin in pins("--extra", "dev") if pin not in needed],
        ),
    ):
        Path(name).write_text(HEADER.format(what, name) + "".join(pin + "\n" for pin in chosen))


if __name__ == "__main__":
    main(*sys.argv[1:])
