"""Settings of training: `train` in params.yaml."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, make_dataclass
from typing import Any, Literal

from atelier.models.configs import config_class
from atelier.models.configs.base import MethodConfig
from atelier.models.configs.filling import InpaintConfig
from atelier.models.configs.gan import DcganConfig, GanConfig, InfoganConfig, VaeConfig
from atelier.models.configs.loop import LoopConfig
from atelier.models.configs.plugins import plugin_names
from atelier.models.configs.restoration import RestoreConfig
from atelier.models.configs.style_statistics import (
    AdainConfig,
    CinConfig,
    ColorConfig,
    CpganConfig,
    FastConfig,
    GatysConfig,
)
from atelier.models.configs.stylegan import StyleganConfig
from atelier.models.configs.translation import CutConfig, CycleganConfig, FastcutConfig, StarganConfig
from atelier.models.settings import Settings, setting, setting_of

_ASIDE = ("min_workers", "max_failures", "keep_checkpoints")  # may change while a training goes on
STARTER = "starter/"  # begins the names of the models of the package


@dataclass(frozen=True)
class TrainConfig(Settings):
    """What is trained, on what, and where it runs."""

    method: str = setting("cpgan", "training method")
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
    start_from: str = setting(
        "scratch", "the model whose weights are the first: starter/NAME, prod or a version like v1.2.0; or scratch"
    )
    patience: int = setting(
        0,
        "early stop: grids of samples (loop.sample_every) that come no closer to the held-out style pictures, which "
        "augment.held_out keeps, before training ends with its best weights; 0 takes all steps",
        ge=0,
    )
    shuffle_rows: int = setting(
        4096,
        "pictures that are shuffled together; of each domain each worker has up to twice as many in "
        "memory as image files, of some 30 KB each at 128 px and four times that at 256 px",
        ge=256,
    )
    loop: LoopConfig = setting_of(LoopConfig, "the training loop")
    adain: AdainConfig = setting_of(AdainConfig, "settings of adain")
    cin: CinConfig = setting_of(CinConfig, "settings of cin")
    color: ColorConfig = setting_of(ColorConfig, "settings of color")
    cpgan: CpganConfig = setting_of(CpganConfig, "settings of cpgan")
    cut: CutConfig = setting_of(CutConfig, "settings of cut")
    cyclegan: CycleganConfig = setting_of(CycleganConfig, "settings of cyclegan")
    fast: FastConfig = setting_of(FastConfig, "settings of fast")
    fastcut: FastcutConfig = setting_of(FastcutConfig, "settings of fastcut")
    dcgan: DcganConfig = setting_of(DcganConfig, "settings of dcgan")
    infogan: InfoganConfig = setting_of(InfoganConfig, "settings of infogan")
    inpaint: InpaintConfig = setting_of(InpaintConfig, "settings of inpaint")
    gan: GanConfig = setting_of(GanConfig, "settings of gan")
    gatys: GatysConfig = setting_of(GatysConfig, "settings of gatys")
    restore: RestoreConfig = setting_of(RestoreConfig, "settings of restore")
    stargan: StarganConfig = setting_of(StarganConfig, "settings of stargan")
    stylegan: StyleganConfig = setting_of(StyleganConfig, "settings of stylegan")
    vae: VaeConfig = setting_of(VaeConfig, "settings of vae")

    def __post_init__(self) -> None:
        """Refuse a method whose settings are not here."""
        methods = [f.name for f in fields(self) if isinstance(getattr(self, f.name), MethodConfig)]
        if self.method not in methods:
            raise ValueError(f"there is no method {self.method!r} to train: choose one of {', '.join(methods)}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name: a class with the settings of plugins is made anew where it is read."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return _restored, ([name for name in values if name not in TrainConfig.__dataclass_fields__], values)

    @property
    def starts_from_starter(self) -> bool:
        """Whether training starts from a model of the package."""
        return self.start_from.startswith(STARTER)

    @property
    def method_config(self) -> MethodConfig:
        """The settings of the chosen method."""
        config: MethodConfig = getattr(self, self.method)
        return config

    def check_size(self, size_px: int) -> None:
        """Check that the method can be trained with pictures of this size. Raises ValueError."""
        if size_px % self.method_config.multiple:
            multiple = self.method_config.multiple
            raise ValueError(
                f"augment.size_px is {size_px}: {self.method} takes multiples of {multiple} as it is set, such as "
                f"{size_px - size_px % multiple}"
            )

    def check_domains(self, domains: Collection[str], *, each_style: bool = False) -> None:
        """Check that the domains of the training are among those that there are. Raises ValueError.

        Args:
            domains: of the sources, or of a dataset.
            each_style: whether every other domain is a style in turn, so that `style` does not matter.
        """
        named = {"content": self.content} | ({} if each_style else {"style": self.style})
        for key, domain in named.items():
            if domain not in domains:
                raise ValueError(f"train.{key} is {domain!r}, which is no domain: there are {', '.join(domains)}")

    def facts(self) -> dict[str, Any]:
        """All that is said here and used, as JSON values: settings of other methods do not name a run."""
        facts = json.loads(json.dumps(asdict(self)))
        others = {f.name for f in fields(self) if isinstance(getattr(self, f.name), MethodConfig)} - {self.method}
        return {key: value for key, value in facts.items() if key not in others.union(_ASIDE)}


def train_config_class(section: Any) -> type[TrainConfig]:
    """`TrainConfig`, with a field for each plugin whose method or settings a `train` section names.

    Raises:
        ValueError: a plugin cannot be imported.
    """
    named = {str(section.get("method")), *map(str, section)} if isinstance(section, Mapping) else set()
    unknown = named - {f.name for f in fields(TrainConfig)} - {"None"}
    return _with_plugins(sorted(unknown.intersection(plugin_names()))) if unknown else TrainConfig


def _with_plugins(names: Sequence[str]) -> type[TrainConfig]:
    if not names:
        return TrainConfig
    configs = {name: config_class(name) for name in names}
    added = [(name, config, setting_of(config, f"settings of {name}")) for name, config in configs.items()]
    return make_dataclass("TrainConfig", added, bases=(TrainConfig,), frozen=True, namespace={"__module__": __name__})


def _restored(plugins: Sequence[str], values: Mapping[str, Any]) -> TrainConfig:
    return _with_plugins(plugins)(**values)
