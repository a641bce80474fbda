"""The defaults on real pictures: landscape photographs to Monet, by the product's own commands.

    python benchmarks/monet.py FOLDER --steps 2000

FOLDER holds `photo/` and `monet/` (the "monet2photo" set of Zhu et al. 2017). A fifth of each is held out by ingestion,
as it always is; nothing but the number of steps differs from `atelier init`. The figures are those of
`reports/evaluation.json`; the workspace with its grid stays in `--keep`, outside of this repository.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from methods import ATELIER, workspace
from overhead import cpu_name

RESULTS = Path(__file__).parent / "results" / "monet.json"


def main() -> None:
    """Train, evaluate, print and write `results/monet.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds photo/ and monet/")
    parser.add_argument("--steps", type=int, required=True, help="updates of the generator")
    parser.add_argument("--keep", type=Path, help="where the workspace is made; a temporary folder by default")
    arguments = parser.parse_args()
    for name in ("photo", "monet"):
        if not (arguments.folder / name).is_dir():
            parser.error(f"{arguments.folder / name} is missing")
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="monet-")) / "monet"
    sources = ["--content", str(arguments.folder / "photo"), "--style", str(arguments.folder / "monet")]
    workspace(root, sources, {"train.loop.steps": arguments.steps})
    begin = time.perf_counter()
    subprocess.run([ATELIER, "train", "--workspace", root], check=True)
    seconds = time.perf_counter() - begin
    subprocess.run([ATELIER, "retrain", "--workspace", root], check=True)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} × {cpu_name()}",
        "steps": arguments.steps,
        "train_command_s": round(seconds),  # with the starts of all processes
        "evaluation": json.loads((root / "reports" / "evaluation.json").read_text()),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    print(f"look at {root / 'reports' / 'evaluation' / 'grid.png'}")


if __name__ == "__main__":
    main()
