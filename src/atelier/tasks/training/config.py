"""Settings of training: `train` in params.yaml."""

import json
from dataclasses import asdict, dataclass, fields
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
from atelier.models.settings import setting, setting_of

_ASIDE = ("min_workers", "max_failures", "keep_checkpoints")  # may change while a training goes on


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, on what, and where it runs."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    method: Literal[
        "adain", "color", "cpgan", "cut", "cyclegan", "dcgan", "fast", "fastcut", "gan", "gatys", "stargan"
    ] = setting("cpgan", "training method")
    content: str = setting("photos", "domain whose pictures are painted")
    style: str = setting("paintings", "domain whose style is learned")
    encoder: str = setting(
        "auto",
        "perceptual encoder of the losses; auto takes vgg19 on GPUs if its weights are found, else efficientnet_lite0",
    )
    workers: int = setting(1, "Ray Train workers; 0 trains inside the calling process", ge=0)
    min_workers: int = setting(1, "workers with which it begins, or goes on after a loss, until there are more", ge=1)
    device: Literal["auto", "cpu", "gpu"] = setting(
        "auto", "auto takes a GPU for each worker where the cluster has them"
    )
    max_failures: int = setting(2, "restarts from the last checkpoint after a worker died", ge=0)
    keep_checkpoints: int = setting(2, "last checkpoints that are kept", ge=1)
    start_from: str = setting("scratch", "scratch, or the version whose weights are the first, like v1.2.0 or prod")
    shuffle_rows: int = setting(
        4096,
        "pictures that are shuffled together; of each domain each worker has up to twice as many in "
        "memory as image files, of some 30 KB each at 128 px and four times that at 256 px",
        ge=256,
    )
    loop: LoopConfig = setting_of(LoopConfig, "the training loop")
    adain: AdainConfig = setting_of(AdainConfig, "settings of adain")
    color: ColorConfig = setting_of(ColorConfig, "settings of color")
    cpgan: CpganConfig = setting_of(CpganConfig, "settings of cpgan")
    cut: CutConfig = setting_of(CutConfig, "settings of cut")
    cyclegan: CycleganConfig = setting_of(CycleganConfig, "settings of cyclegan")
    fast: FastConfig = setting_of(FastConfig, "settings of fast")
    fastcut: FastcutConfig = setting_of(FastcutConfig, "settings of fastcut")
    dcgan: DcganConfig = setting_of(DcganConfig, "settings of dcgan")
    gan: GanConfig = setting_of(GanConfig, "settings of gan")
    gatys: GatysConfig = setting_of(GatysConfig, "settings of gatys")
    stargan: StarganConfig = setting_of(StarganConfig, "settings of stargan")

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
