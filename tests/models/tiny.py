"""A training small enough for tests: a random encoder, sixteen random pictures, a small cpgan."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.base import OptimizerConfig
from atelier.models.configs.filling import InpaintConfig
from atelier.models.configs.gan import DcganConfig, GanConfig, InfoganConfig, VaeConfig
from atelier.models.configs.loop import LoopConfig
from atelier.models.configs.restoration import RestoreConfig
from atelier.models.configs.style_statistics import AdainConfig, CinConfig, CpganConfig, FastConfig
from atelier.models.configs.stylegan import StyleganConfig
from atelier.models.configs.translation import CutConfig, CycleganConfig, FastcutConfig, StarganConfig
from atelier.models.distributed import rank_places
from atelier.models.encoders import Encoder
from atelier.models.methods.base import Batch
from atelier.models.painter import Painter
from atelier.models.pixels import to_float, to_uint8
from atelier.models.sampler import Order
from atelier.models.training import Trainer

CONFIG = CpganConfig(
    filters=4, width=8, blocks=1, discriminator_filters=4, discriminator_layers=2, style_images=8, identity_weight=1.0
)
ADAIN = AdainConfig(filters=4, discriminator_filters=4, style_images=8, detail=0.0)  # as in the paper
CYCLEGAN = CycleganConfig(filters=4, blocks=1, discriminator_filters=4, pool_size=6)
CUT = CutConfig(filters=4, blocks=3, discriminator_filters=4, patches=32, projection=8)
FASTCUT = FastcutConfig(filters=4, blocks=1, discriminator_filters=4, patches=32, projection=8)
CIN = CinConfig(styles=("dark", "light", "warm"), filters=4, width=8, blocks=1, style_images=8)
INPAINT = InpaintConfig(filters=4, width=8, blocks=2)
FAST = FastConfig(filters=4, blocks=1, style_images=8)
RESTORE = RestoreConfig(filters=8, blocks=1)
STARGAN = StarganConfig(
    attributes=("dark", "light", "warm"),
    exclusive=("dark", "light"),
    filters=4,
    blocks=1,
    discriminator_filters=4,
    discriminator_layers=2,
    classifier_filters=2,
)
GAN = GanConfig(size_px=32, noise=8, width=16, discriminator_filters=4)
DCGAN = DcganConfig(
    size_px=32,
    noise=8,
    filters=4,
    discriminator_filters=4,
    diffaugment=("color", "translation"),
    r1_weight=1.0,
    r1_every=2,
)
INFOGAN = InfoganConfig(
    size_px=32,
    noise=8,
    categories=(3,),
    continuous=2,
    clustered_pictures=24,
    filters=4,
    discriminator_filters=4,
    diffaugment=("translation",),
    r1_weight=1.0,
    r1_every=2,
)
VAE = VaeConfig(
    size_px=32,
    noise=8,
    filters=4,
    discriminator_filters=4,
    adversarial_weight=0.1,
    diffaugment=("translation",),
    r1_every=2,
)
# with labels and the encoder's features; and as R3GAN has it
STYLEGAN = StyleganConfig(
    size_px=32,
    noise=8,
    latent=8,
    filters=4,
    attributes=("dark", "light", "warm"),
    discriminator="projected",
    discriminator_filters=4,
    adversarial="hinge",
    r1_weight=0.0,
)
R3GAN = StyleganConfig(
    size_px=32,
    noise=8,
    latent=8,
    filters=4,
    discriminator="plain",
    discriminator_filters=4,
    adversarial="relativistic",
    r1_weight=1.0,
    r2_weight=1.0,
    r1_every=2,
    # differences of scores have biases with gradients of rounding alone, which Adam makes as large as its rate
    optimizer=OptimizerConfig(discriminator_lr=1e-4, beta1=0.0),
)
# everything that has a memory or a random number
REMEDIES = replace(
    CYCLEGAN,
    dropout=0.25,
    diffaugment=("color", "translation", "cutout"),
    r1_weight=1.0,
    r1_every=2,
    spectral_norm=True,
    optimizer=replace(CYCLEGAN.optimizer, weight_decay=0.01, clip_norm=1.0),
)
TRAINING = LoopConfig(
    steps=6, batch_size=4, log_every=2, checkpoint_every=3, sample_every=4, precision="float32", seed=1
)
SIZE = 32


class TinyEncoder(Encoder):
    """Two fixed random convolutions."""

    content_layer: ClassVar[str] = "deep"
    style_layers: ClassVar[tuple[str, ...]] = ("shallow", "deep")

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.shallow, self.deep = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)
        self.freeze()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        shallow = F.relu(self.shallow(x))
        return {"shallow": shallow, "deep": F.relu(self.deep(shallow))}


def pictures(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (16, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


def labels() -> Tensor:
    """Of the sixteen pictures: dark or light or neither, and warm."""
    rows = torch.arange(16)
    return torch.stack([rows % 3 == 0, rows % 3 == 1, rows % 2 == 0], 1).float()


def batches(training: LoopConfig, rank: int = 0, world_size: int = 1) -> Callable[[int], Batch]:
    own = rank_places(rank, world_size, training.batch_size)

    def batch(step: int) -> Batch:
        positions = range(step * training.batch_size + own.start, step * training.batch_size + own.stop)
        content, style = (
            [row for _, row in Order(training.seed, role, [16], 16).pictures(positions)]
            for role in ("content", "style")
        )
        return Batch(pictures(1)[content], pictures(2)[style], labels()[content], labels()[style])

    return batch


def trainer(config: Any = CONFIG, **changes: Any) -> Trainer:
    return Trainer(config, replace(TRAINING, **changes), TinyEncoder())


def assert_precision_is_kept(paint: Painter, images: Tensor) -> None:
    """uint8 and float32 pictures are painted alike, and each comes back as what it came as."""
    levels, values = paint(images), paint(to_float(images, images.device))
    assert (levels.dtype, values.dtype) == (torch.uint8, torch.float32)
    assert torch.equal(to_uint8(values), levels)
    assert len(values.unique()) > 256
    assert values.abs().max() <= 1


def ignore(*_: object) -> None:
    """A callback that does nothing."""
