"""Choices that the settings of several methods offer."""

from typing import Literal

Adversarial = Literal["hinge", "least_squares", "non_saturating", "wasserstein"]  # see `losses.adversarial`
Policy = Literal["color", "translation", "cutout"]  # see `diffaugment`
Precision = Literal["float32", "bfloat16", "auto"]

GeneratorKind = Literal["residual", "antialiased", "skip"]
GENERATORS = (
    "residual as in CycleGAN, antialiased as in CUT, or skip, which changes the picture instead of making it anew: for "
    "short trainings"
)
DiscriminatorKind = Literal["patchgan", "projected"]
DISCRIMINATORS = (
    "the 70×70 PatchGAN, or projected: the encoder's features are looked at as well, good for short trainings"
)
