"""Scores that others have published, where the weights that they need are on this machine."""

import numpy as np
import pytest
import torch

from atelier.models import encoders
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.metrics.lpips import lpips
from atelier.tasks.runtime.encoder_weights import resolve


def at_hand(name: str) -> Calibrated:
    try:
        encoder = encoders.load(name, resolve(name))
    except FileNotFoundError:
        pytest.skip(f"the weights of {name} are not on this machine: atelier encoders pull {name}")
    assert isinstance(encoder, Calibrated)
    return encoder


# of 10 pairs of noise, numpy.random.seed(123), both drawn by numpy.random.rand(10, 3, 100, 100)
SCORES = {
    # what a public notebook prints of lpips.LPIPS(net="vgg") (version 0.1.4) with torchvision's weights; TorchMetrics
    # 0.9 documents 0.3493 as the mean of 10 pairs of such noise
    "vgg16": [0.3497, 0.3494, 0.3473, 0.3558, 0.3437, 0.3366, 0.3716, 0.3516, 0.3472, 0.3413],
    # computed once by lpips 0.1.4's LPIPS(net="alex") with its own heads (sha256 df73285e…, as published)
    "alexnet": [0.16450, 0.13901, 0.14177, 0.13115, 0.17313, 0.14865, 0.13013, 0.12883, 0.14216, 0.14614],
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_those_of_the_papers_program(name: str) -> None:
    random = np.random.RandomState(123)
    x, y = (torch.from_numpy(random.rand(10, 3, 100, 100)).float() for _ in range(2))
    encoder = at_hand(name)
    with torch.inference_mode():
        assert lpips(encoder, x, y).tolist() == pytest.approx(SCORES[name], abs=6e-5)
