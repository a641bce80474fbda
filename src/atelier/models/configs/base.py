"""What the settings of several methods share: their base class, the optimizer's, and choices."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from atelier.models.configs.architecture import Architecture
from atelier.models.settings import Settings, setting

Adversarial = Literal["hinge", "least_squares", "non_saturating", "wasserstein"]  # see `losses.adversarial`
Policy = Literal["color", "translation", "cutout"]  # see `diffaugment`
DIFFAUGMENT = "what is augmented before the discriminator: color, translation, cutout"
Precision = Literal["float32", "bfloat16", "auto"]

GeneratorKind = Literal["residual", "antialiased", "skip", "light"]
GENERATORS = (
    "residual as in CycleGAN, antialiased as in CUT, skip, which changes the picture instead of making it anew: for "
    "short trainings, or light, as in cin"
)
WIDTH = "generator channels at a quarter of the size; 0 takes four times as many as at full size"
PainterKind = Literal["underpainted", "light"]
PAINTERS = "underpainted, which paints over the picture without its finest detail, or light, as in cin"
DiscriminatorKind = Literal["patchgan", "projected"]
DISCRIMINATORS = (
    "the 70×70 PatchGAN, or projected: the encoder's features are looked at as well, good for short trainings"
)


@dataclass(frozen=True)
class MethodConfig(Settings):
    """Settings of a training method.

    A subclass has a field for each setting, with a default, a description and bounds in its metadata. A method that is
    trained step by step has a field `optimizer: OptimizerConfig`.
    """

    name: ClassVar[str]  # of the method, in params.yaml and in model cards
    controls: ClassVar[tuple[str, ...]] = ("strength",)  # fields of `Controls` that the method honours
    strokes: ClassVar[bool] = True  # paints strokes of a size in px, so it honours `Controls.stroke`
    generates: ClassVar[bool] = False  # makes pictures of the style domain from noise, and paints none
    reconstructs: ClassVar[bool] = False  # has an encoder from pictures to what they are generated from
    restores: ClassVar[bool] = False  # gives back what degraded pictures were, see `Method.inputs`
    fills: ClassVar[bool] = False  # changes pictures in holes alone, which label pictures or boxes show

    @property
    def scale(self) -> int:
        """Size of what a model makes relative to its input: 1 for most methods; those with another paint no strokes."""
        return 1

    @property
    def channels(self) -> float:
        """Channels of the generator at the size of the picture, to which memory is in proportion; 0 where unknown."""
        return float(getattr(self, "filters", 0))

    @property
    def multiple(self) -> int:
        """Width and height of a training picture must be multiples of this, px; 1 for networks that take any size."""
        return 4 if self.architecture else 1  # such generators halve twice

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the labels that training needs with its pictures; None for most methods, which need none."""
        return None

    @property
    def codes(self) -> tuple[int, ...]:
        """Of each code that a picture is generated from, how many categories; 0: continuous. See `models.codes`."""
        return ()

    @property
    def layers(self) -> int:
        """Layers with a latent of their own, which can be mixed and truncated; 0 where noise itself is the latent."""
        return 0

    @property
    def embedded(self) -> str | None:
        """Name of an encoder that is a part of the generator, besides that of the losses; None for most methods."""
        return None

    @property
    def architecture(self) -> Architecture | None:
        """That of the generator; None where it is one that no other method has."""
        return None


@dataclass(frozen=True)
class OptimizerConfig(Settings):
    """Adam for the generator and the discriminator, each with its own rate.

    Two time scales: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule". Weight decay is decoupled from
    the gradient: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2. Clipping by the norm
    of all gradients together: Pascanu et al. 2013, "On the difficulty of training RNNs", algorithm 1.
    """

    generator_lr: float = setting(1e-3, "Adam's rate for the generator", gt=0)
    discriminator_lr: float = setting(5e-4, "Adam's rate for the discriminator", gt=0)
    beta1: float = setting(0.5, "memory of the gradient's mean", ge=0, lt=1)
    beta2: float = setting(0.99, "memory of its square", ge=0, lt=1)
    weight_decay: float = setting(0.0, "share of its rate by which a weight shrinks each step", ge=0)
    clip_norm: float = setting(0.0, "largest norm of a network's gradient; 0 does not clip", ge=0)
