"""Read a dataset of a workspace with Hugging Face `datasets`.

    pip install datasets
    python examples/read_dataset.py data/dataset

Shards are Parquet files whose column `image` has the layout of `datasets.Image`: they need no conversion.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder with dataset.json")
    parser.add_argument("--domain", help="of the pictures to read; all by default")
    arguments = parser.parse_args()
    try:
        from datasets import Image, load_dataset
    except ImportError:
        sys.exit("this example needs Hugging Face datasets: pip install datasets")

    card = json.loads((arguments.dataset / "dataset.json").read_text())
    shards = [str(arguments.dataset / shard["file"]) for shard in card["shards"]]
    rows = load_dataset("parquet", data_files=shards, split="train", streaming=True).cast_column("image", Image())
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if arguments.domain in (None, row["domain"]):
            if not counts:
                print(f"first picture: {row['image'].size[0]} x {row['image'].size[1]}, mode {row['image'].mode}")
            counts[row["domain"], row["split"]] += 1
    for (domain, split), count in sorted(counts.items()):
        print(f"{domain}/{split}: {count}")


if __name__ == "__main__":
    main()
