"""Settings of training: `train` in params.yaml."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

from atelier.models.configs.adain import AdainConfig
from atelier.models.configs.base import MethodConfig
from atelier.models.configs.color import ColorConfig
from atelier.models.configs.cpgan import CpganConfig
from atelier.models.configs.cut import CutConfig, FastcutConfig
from atelier.models.configs.cyclegan import CycleganConfig
from atelier.models.configs.fast import FastConfig
from atelier.models.configs.gan import DcganConfig, GanConfig
from atelier.models.configs.gatys import GatysConfig
from atelier.models.configs.loop import LoopConfig
from atelier.models.configs.stargan import StarganConfig

_ASIDE = ("min_workers", "max_failures", "keep_checkpoints")  # may change while a training goes on


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, on what, and where it runs."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    method: Literal[
        "adain", "color", "cpgan", "cut", "cyclegan", "dcgan", "fast", "fastcut", "gan", "gatys", "stargan"
    ] = field(default="cpgan", metadata={"description": "training method"})
    content: str = field(default="photos", metadata={"description": "domain whose pictures are painted"})
    style: str = field(default="paintings", metadata={"description": "domain whose style is learned"})
    encoder: str = field(
        default="auto",
        metadata={
            "description": "perceptual encoder of the losses; auto takes vgg19 on GPUs if its weights are found, "
            "else efficientnet_lite0"
        },
    )
    workers: int = field(
        default=1, metadata={"description": "Ray Train workers; 0 trains inside the calling process", "ge": 0}
    )
    min_workers: int = field(
        default=1,
        metadata={
            "description": "workers with which it begins, or goes on after a loss, until there are more",
            "ge": 1,
        },
    )
    device: Literal["auto", "cpu", "gpu"] = field(
        default="auto", metadata={"description": "auto takes a GPU for each worker where the cluster has them"}
    )
    max_failures: int = field(
        default=2, metadata={"description": "restarts from the last checkpoint after a worker died", "ge": 0}
    )
    keep_checkpoints: int = field(default=2, metadata={"description": "last checkpoints that are kept", "ge": 1})
    start_from: str = field(
        default="scratch",
        metadata={"description": "scratch, or the version whose weights are the first, like v1.2.0 or prod"},
    )
    shuffle_rows: int = field(
        default=4096,
        metadata={
            "description": "pictures that are shuffled together; of each domain each worker has up to twice as many in "
            "memory as image files, of some 30 KB each at 128 px and four times that at 256 px",
            "ge": 256,
        },
    )
    loop: LoopConfig = field(default_factory=LoopConfig, metadata={"description": "the training loop"})
    adain: AdainConfig = field(default_factory=AdainConfig, metadata={"description": "settings of adain"})
    color: ColorConfig = field(default_factory=ColorConfig, metadata={"description": "settings of color"})
    cpgan: CpganConfig = field(default_factory=CpganConfig, metadata={"description": "settings of cpgan"})
    cut: CutConfig = field(default_factory=CutConfig, metadata={"description": "settings of cut"})
    cyclegan: CycleganConfig = field(default_factory=CycleganConfig, metadata={"description": "settings of cyclegan"})
    fast: FastConfig = field(default_factory=FastConfig, metadata={"description": "settings of fast"})
    fastcut: FastcutConfig = field(default_factory=FastcutConfig, metadata={"description": "settings of fastcut"})
    dcgan: DcganConfig = field(default_factory=DcganConfig, metadata={"description": "settings of dcgan"})
    gan: GanConfig = field(default_factory=GanConfig, metadata={"description": "settings of gan"})
    gatys: GatysConfig = field(default_factory=GatysConfig, metadata={"description": "settings of gatys"})
    stargan: StarganConfig = field(default_factory=StarganConfig, metadata={"description": "settings of stargan"})

    @property
    def method_config(self) -> MethodConfig:
        """The settings of the chosen method."""
        config: MethodConfig = getattr(self, self.method)
        return config

    def facts(self) -> dict[str, Any]:
        """All that is said here and used, as JSON values: settings of other methods do not name a run."""
        facts = json.loads(json.dumps(asdict(self)))
        others = {f.name for f in fields(self) if isinstance(getattr(self, f.name), MethodConfig)} - {self.method}
        return {key: value for key, value in facts.items() if key not in others.union(_ASIDE)}
