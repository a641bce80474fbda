"""EfficientNet-Lite0 features: small, fast on a CPU, and nearly as good at telling styles apart as VGG.

Architecture: Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", in the Lite
variant (ReLU6 instead of swish, no squeeze-and-excitation). Only the stages that are looked at are kept, and every
BatchNorm is folded into its convolution: the encoder never trains.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.encoders.base import Encoder, fold_batch_norm

# of each inverted bottleneck: kernel, stride, expansion, output channels
BLOCKS = (
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (3, 1, 6, 24),
    (5, 2, 6, 40),
    (5, 1, 6, 40),
)
DEEPER = (
    (3, 2, 6, 80),
    *((3, 1, 6, 80),) * 2,
    *((5, 1, 6, 112),) * 3,
    (5, 2, 6, 192),
    *((5, 1, 6, 192),) * 3,
)
STEM_CHANNELS = 32
NORM_EPS = 1e-3


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME does: the odd pixel goes to the bottom and right."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        total_h = max((-(-x.shape[2] // stride) - 1) * stride + kernel - x.shape[2], 0)
        total_w = max((-(-x.shape[3] // stride) - 1) * stride + kernel - x.shape[3], 0)
        if total_h == total_w and total_h % 2 == 0:
            return F.conv2d(x, self.weight, self.bias, self.stride, total_h // 2, 1, self.groups)
        x = F.pad(x, (total_w // 2, total_w - total_w // 2, total_h // 2, total_h - total_h // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class Bottleneck(nn.Module):
    """Inverted bottleneck: 1×1 expansion, depthwise k×k, linear 1×1 projection, and a skip where shapes allow it."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, out: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = SameConv(channels, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, out, 1)
        self.skip = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H / stride, W / stride)."""
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.skip else y


class EfficientNetLite0(Encoder):
    """Features `stem` (32, H/2), `block0` (16, H/2), `block2` (24, H/4) and `block4` (40, H/8)."""

    content_layer: ClassVar[str] = "block4"
    style_layers: ClassVar[tuple[str, ...]] = ("stem", "block0", "block2", "block4")
    bottlenecks: ClassVar[tuple[tuple[int, int, int, int], ...]] = BLOCKS

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM_CHANNELS, 3, 2)
        channels, blocks = STEM_CHANNELS, []
        for kernel, stride, expansion, out in self.bottlenecks:
            blocks.append(Bottleneck(channels, kernel, stride, expansion, out))
            channels = out
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in [0, 1] to features by name."""
        x = F.relu6(self.stem(x * 2 - 1))  # trained on pictures in [-1, 1]
        features = {"stem": x} if "stem" in self.style_layers else {}
        for index, block in enumerate(self.blocks):
            x = block(x)
            if (name := f"block{index}") in self.style_layers:
                features[name] = x
        return features

    @classmethod
    def convert(cls, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Fold the published BatchNorms and drop the stages that are not used."""
        state: dict[str, Tensor] = {}

        def fold(name: str, conv: str, norm: str) -> None:
            parts = {key: published[f"{norm}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
            state[f"{name}.weight"], state[f"{name}.bias"] = fold_batch_norm(
                published[f"{conv}.weight"], parts, NORM_EPS
            )

        fold("stem", "_conv_stem", "_bn0")
        for index, (_, _, expansion, _) in enumerate(cls.bottlenecks):
            old, new = f"_blocks.{index}", f"blocks.{index}"
            if expansion > 1:
                fold(f"{new}.expand", f"{old}._expand_conv", f"{old}._bn0")
            fold(f"{new}.depthwise", f"{old}._depthwise_conv", f"{old}._bn1")
            fold(f"{new}.project", f"{old}._project_conv", f"{old}._bn2")
        return state


class DeepEfficientNetLite0(EfficientNetLite0):
    """Features `block2` (24, H/4), `block4` (40, H/8), `block10` (112, H/16) and `block14` (192, H/32).

    The deepest tells what a picture shows.
    """

    content_layer: ClassVar[str] = "block14"
    style_layers: ClassVar[tuple[str, ...]] = ("block2", "block4", "block10", "block14")
    bottlenecks: ClassVar[tuple[tuple[int, int, int, int], ...]] = (*BLOCKS, *DEEPER)
