from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from atelier.flows.config.defaults import BOLD, SHOWN, defaults, demo_params
from atelier.flows.config.params import SECTIONS, Params
from atelier.flows.config.render import render
from atelier.models.methods import METHODS
from atelier.tasks.dataset.augment_config import AugmentConfig
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.registry.base_models import with_base


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def two_sections() -> str:
    return render({"augment": AugmentConfig(), "stylize": StylizeConfig()})


def test_what_is_rendered_is_read_back_equal(tmp_path: Path) -> None:
    params = Params(write(tmp_path, two_sections()))
    assert params.augment == AugmentConfig()
    assert params.stylize == StylizeConfig()


def test_every_parameter_of_every_section_is_described() -> None:
    text = render(defaults())
    assert list(YAML(typ="safe").load(text)) == list(SECTIONS)
    for line in [*text.splitlines(), *demo_params().splitlines()]:
        if line.startswith("  ") and ":" in line and not line.strip().startswith("- "):
            key = line.split(":")[0].strip()
            assert "# " in line or key in {"photos", "paintings"}, f"{line!r} has no description"


def test_a_new_file_is_short_and_means_what_one_of_every_key_means(tmp_path: Path) -> None:
    text = demo_params()
    assert len(text.splitlines()) <= 83
    content = YAML(typ="safe").load(text)
    assert list(content) == list(SECTIONS)
    assert set(content["train"]) & set(METHODS) == {"cpgan"}
    short, every = Params(write(tmp_path, text)), Params(Path(__file__).with_name("before.yaml"))
    for name in SECTIONS:
        expected = {"train": with_base(every.train), "gate": BOLD}.get(name, getattr(every, name))
        assert getattr(short, name) == expected, name


def test_what_a_new_file_shows_are_parameters() -> None:
    for key in SHOWN:
        assert render({key.partition(".")[0]: defaults()[key.partition(".")[0]]}, [key]), f"{key} is none"


@pytest.mark.parametrize(
    ("before", "after", "section", "message"),
    [
        ("copies:", "coppies:", "augment", "unknown key augment.coppies: did you mean 'copies'?"),
        ("    saturation:", "    satturation:", "augment", "unknown key augment.default.satturation: did you mean"),
        ("strength: 1.0", "strength: 3", "stylize", "stylize.strength must be at most 1 (it is 3)"),
        ("format: keep", "format: tiff", "stylize", "stylize.format must be 'keep', 'png'"),
        ("stylize:", "stylise:", "stylize", "unknown section 'stylise': did you mean 'stylize'?"),
        ("stylize:", "stylize: [", "stylize", "is not valid YAML"),
    ],
)
def test_a_wrong_key_or_value_is_named_in_one_line(
    tmp_path: Path, before: str, after: str, section: str, message: str
) -> None:
    text = two_sections()
    assert before in text
    path = write(tmp_path, text.replace(before, after))
    with pytest.raises(ValueError, match=r"params\.yaml") as caught:
        getattr(Params(path), section)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "size_px", "message"),
    [
        ("restore: {scale: 4, faults: []}", 98, "restore takes multiples of 4 as it is set, such as 96"),
        ("restore: {scale: 2, faults: []}", 97, "restore takes multiples of 2 as it is set, such as 96"),
        ("inpaint: {}", 100, "inpaint takes multiples of 8 as it is set, such as 96"),
    ],
)
def test_a_size_that_the_method_does_not_take_is_refused(
    tmp_path: Path, method: str, size_px: int, message: str
) -> None:
    name = method.partition(":")[0]
    text = f"augment: {{size_px: SIDE}}\ntrain:\n  method: {name}\n  {method}\n"
    with pytest.raises(ValueError, match=rf"params\.yaml: augment\.size_px is {size_px}: {message}"):
        Params(write(tmp_path, text.replace("SIDE", str(size_px)))).check()
    Params(write(tmp_path, text.replace("SIDE", "96"))).check()


def test_a_training_domain_without_sources_is_refused_before_any_picture_is_read(tmp_path: Path) -> None:
    text = "ingest: {domains: {photos: [a], monet: [b]}}\ntrain: {content: DOMAIN, style: STYLE}\n"

    def params(content: str, style: str) -> Params:
        return Params(write(tmp_path, text.replace("DOMAIN", content).replace("STYLE", style)))

    params("photos", "monet").check_training()
    params("photos", "paintings").check_training(each_style=True)
    with pytest.raises(
        ValueError, match=r"params.yaml: train.content is 'fotos', which is no domain: there are photos, m"
    ):
        params("fotos", "monet").check_training(each_style=True)
    with pytest.raises(
        ValueError, match=r"params.yaml: train.style is 'paintings', which is no domain: .* ingest.domains"
    ):
        params("photos", "paintings").check_training()


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="atelier init"):
        Params(tmp_path / "params.yaml")


@dataclass(frozen=True)
class Odd:
    text: str = "yes"
    path: str = 'a: "b" \\ #c'
    tiny: float = 1e-05
    nothing: int | None = None
    by_name: dict[str, tuple[Any, ...]] = field(default_factory=lambda: {"one": ("x y", 2)})


def test_scalars_survive_the_way_through_yaml() -> None:
    loaded = YAML(typ="safe").load(render({"odd": Odd()}))["odd"]
    assert loaded == {
        "text": "yes",
        "path": 'a: "b" \\ #c',
        "tiny": 1e-05,
        "nothing": None,
        "by_name": {"one": ["x y", 2]},
    }
    assert isinstance(loaded["tiny"], float)
