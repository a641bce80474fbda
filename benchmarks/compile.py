"""What `torch.compile` gives on a processor: CycleGAN's generator, forward and backward, one picture of 128².

    python benchmarks/compile.py

The plain generator of `training.py`, the same compiled, and the engine's, in one process, in turns; medians with
quartiles, and the seconds of the first call, which for the compiled one compiles.
"""

import json
import statistics
import time
from typing import Any

import torch
from torch import nn

from atelier.models.networks.resnet import ResnetGenerator
from training import RESULTS, generator, hardware

ROUNDS = 7
WARM_UP = 2


def main() -> None:
    """Time all, print and write `results/compile.json`."""
    torch.manual_seed(0)
    x = torch.rand(1, 3, 128, 128) * 2 - 1
    result: dict[str, Any] = {"hardware": hardware(), "threads": torch.get_num_threads()}
    for dtype in (torch.float32, torch.bfloat16):
        networks: dict[str, Any] = {
            "plain": generator(),
            "compiled": torch.compile(generator()),
            "engine": ResnetGenerator(64, 9, 0.0),
        }
        first = {name: timed(network, x, dtype) for name, network in networks.items()}
        seconds: dict[str, list[float]] = {name: [] for name in networks}
        for _ in range(WARM_UP + ROUNDS):
            for name, network in networks.items():
                seconds[name].append(timed(network, x, dtype))
        found = result[str(dtype).removeprefix("torch.")] = {}
        for name, all_of_it in seconds.items():
            low, median, high = statistics.quantiles(all_of_it[WARM_UP:], n=4)
            found[name] = {
                "median_s": round(median, 3),
                "quartiles_s": [round(low, 3), round(high, 3)],
                "first_s": round(first[name], 1),
            }
    print(json.dumps(result, indent=2))
    (RESULTS / "compile.json").write_text(json.dumps(result, indent=2) + "\n")


def timed(network: nn.Module, x: torch.Tensor, dtype: torch.dtype) -> float:
    """Seconds of one forward and backward pass."""
    begin = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = network(x)
    torch.autograd.backward(y.float().square().mean())
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
