"""LPIPS, ArtFID and diversity against formulas written out; tests/tasks/test_scores.py has the published scores."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.encoders.alexnet import AlexNet
from atelier.models.encoders.vgg16 import Vgg16
from atelier.models.metrics.artfid import artfid
from atelier.models.metrics.diversity import diversity, mean_squared_distance
from atelier.models.metrics.lpips import embed, lpips

Published = dict[str, Tensor]
Conv = tuple[int, int, int, int, int]
Network = tuple[str, list[Conv], dict[int, tuple[int, int]], list[int]]

# of each network: its name there, the convolutions' kernel, input, output, stride and padding, whether a pool of (size,
# stride) stands before each, and after which convolutions features are compared
ALEXNET: Network = (
    "AlexNet_0",
    [(11, 3, 64, 4, 2), (5, 64, 192, 1, 2), (3, 192, 384, 1, 1), (3, 384, 256, 1, 1), (3, 256, 256, 1, 1)],
    {1: (3, 2), 2: (3, 2)},
    [0, 1, 2, 3, 4],
)
WIDTHS = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
VGG16: Network = (
    "VGG16_0",
    [(3, i, o, 1, 1) for i, o in pairwise(WIDTHS)],
    {2: (2, 2), 4: (2, 2), 7: (2, 2), 10: (2, 2)},
    [1, 3, 6, 9, 12],
)


def published(network: Network, seed: int) -> Published:
    """Random weights in the published layout; every convolution keeps the size of what it is given."""
    name, convs, _, judged = network
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for i, (k, inputs, out, _, _) in enumerate(convs):
        scale = (2 / (k * k * inputs)) ** 0.5
        found[f"{name}.Conv_{i}.kernel"] = torch.randn(k, k, inputs, out, generator=generator) * scale
        found[f"{name}.Conv_{i}.bias"] = torch.randn(out, generator=generator) * 0.1
    for i, index in enumerate(judged):
        found[f"NetLinLayer_{i}.Conv_0.kernel"] = torch.rand(1, 1, convs[index][2], 1, generator=generator)
    return found


def by_hand(network: Network, weights: Published, x: Tensor, y: Tensor) -> list[float]:
    """Zhang et al. 2018, section 3, step by step from pictures in [-1, 1], with the published shift and scale."""
    name, convs, pools, judged = network
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def features(pictures: Tensor) -> list[Tensor]:
        z, found = ((pictures * 2 - 1).permute(0, 2, 3, 1) - shift) / scale, []
        for i, (_, _, _, stride, padding) in enumerate(convs):
            z = z.permute(0, 3, 1, 2)
            if i in pools:
                z = F.max_pool2d(z, *pools[i])
            kernel = weights[f"{name}.Conv_{i}.kernel"].permute(3, 2, 0, 1)
            z = F.conv2d(z, kernel, weights[f"{name}.Conv_{i}.bias"], stride, padding).relu().permute(0, 2, 3, 1)
            if i in judged:
                found.append(z)
        return found

    total = torch.zeros(len(x))
    for i, (a, b) in enumerate(zip(features(x), features(y), strict=True)):
        a, b = (f / (f.square().sum(-1, keepdim=True).sqrt() + 1e-10) for f in (a, b))
        total += ((a - b) ** 2 @ weights[f"NetLinLayer_{i}.Conv_0.kernel"].flatten()).mean((1, 2))
    return total.tolist()


def loaded(kind: type[AlexNet | Vgg16], weights: Published) -> AlexNet | Vgg16:
    encoder = kind()
    encoder.load_state_dict(kind.convert(weights))
    encoder.freeze()
    return encoder


def pairs(side: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(3, 3, *side, generator=generator)
    return x, (x + 0.3 * torch.randn(x.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize(("kind", "network"), [(AlexNet, ALEXNET), (Vgg16, VGG16)])
def test_is_the_formula_whatever_the_weights(kind: type[AlexNet | Vgg16], network: Network) -> None:
    weights = published(network, seed=1)
    x, y = pairs((48, 64))
    encoder = loaded(kind, weights)
    assert lpips(encoder, x, y).tolist() == pytest.approx(by_hand(network, weights, x, y), rel=2e-4)
    assert lpips(encoder, x, x).tolist() == [0, 0, 0]


def test_too_small() -> None:
    encoder = loaded(AlexNet, published(ALEXNET, 0))
    lpips(encoder, *pairs((32, 32)))
    with pytest.raises(ValueError, match="32 pixels"):
        lpips(encoder, *pairs((64, 31)))


def test_diversity_is_the_mean_of_all_pairs() -> None:
    encoder = loaded(AlexNet, published(ALEXNET, 2))
    x = torch.rand(5, 3, 40, 40, generator=torch.Generator().manual_seed(4))
    expected = np.mean([float(lpips(encoder, x[[i]], x[[j]])) for i in range(5) for j in range(5) if i != j])
    points = embed(encoder, x).double().numpy()
    parts = points[:2], points[2:]  # as batches bring them
    total, squares = sum(part.sum(0) for part in parts), sum(float((part**2).sum()) for part in parts)
    assert mean_squared_distance(np.asarray(total), squares, 5) == pytest.approx(expected, rel=1e-4)
    assert diversity(points) ** 2 < expected  # the root of a mean is not the mean of roots


def test_artfid_is_one_for_what_is_both() -> None:
    assert artfid(0, 0) == 1
    assert artfid(0.5, 20) == pytest.approx(31.5)


def test_published_weights_of_another_network_are_refused() -> None:
    with pytest.raises(KeyError):
        AlexNet.convert(published(VGG16, 0))
