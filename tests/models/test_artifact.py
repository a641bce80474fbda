"""A model folder comes back as it was, or says in one line what is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atelier.models import artifact
from atelier.models.controls import Controls
from atelier.models.methods.gan import Dcgan
from tests.models.tiny import CONFIG, DCGAN, assert_precision_is_kept, pictures, trainer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = trainer().generator_ema
    nn.init.normal_(generator.draw.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    artifact.save(tmp_path / "model", CONFIG, generator, {"dataset": "abc", "training": {"steps": 6}})
    return tmp_path / "model"


def test_round_trip(folder: Path) -> None:
    model = artifact.load(folder)
    assert model.config == CONFIG
    assert model.card.dataset == "abc"
    assert model.card.method == "cpgan"
    images = pictures(0)[:2]
    painted = model.painter()(images)
    assert painted.shape == images.shape
    assert not torch.equal(painted, images)
    assert_precision_is_kept(model.painter(), images)
    assert torch.equal(model.painter(Controls(strength=0.0))(images), images)
    assert sorted(p.name for p in folder.iterdir()) == ["generator.safetensors", "model.json"]


def test_weights_may_take_half_the_size(folder: Path) -> None:
    whole = artifact.load(folder)
    weights(Tensor.half)(folder)
    halved = artifact.load(folder)
    assert {value.dtype for value in halved.generator.state_dict().values()} == {torch.float32}
    images = pictures(0)[:2]
    assert (halved.painter()(images).int() - whole.painter()(images).int()).abs().max() <= 1


def edit(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def config(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "model.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"config": content["config"] | changes}))

    return damage


def weights(change: Callable[[Tensor], Tensor]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "generator.safetensors"
        save_file({key: change(value) for key, value in load_file(path).items()}, path)

    return damage


def header(text: bytes, length: int | None = None) -> Callable[[Path], None]:
    """Weights with another header, whose length may be a lie."""

    def damage(folder: Path) -> None:
        said = (len(text) if length is None else length).to_bytes(8, "little")
        (folder / "generator.safetensors").write_bytes(said + text + bytes(16))

    return damage


def one_nan(value: Tensor) -> Tensor:
    value.view(-1)[-1] = float("nan")
    return value


def extra(folder: Path) -> None:
    path = folder / "generator.safetensors"
    save_file({**load_file(path), "evil.extra": torch.zeros(3)}, path)


def cut(folder: Path) -> None:
    path = folder / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.json").unlink(), "is no model folder .model.json is missing"),
        (lambda f: (f / "generator.safetensors").unlink(), "generator.safetensors is missing"),
        (lambda f: (f / "model.json").write_text('{"format": 1'), "model.json is damaged"),
        (lambda f: (f / "model.json").write_text("[]"), "model.json is damaged"),
        (lambda f: (f / "model.json").write_bytes(b"\xff\xfe"), "model.json is damaged"),
        (cut, "is damaged or cut short"),
        (edit(format=99), "has model format 99; this version reads 1"),
        (edit(method="pix2pix"), "method 'pix2pix' is unknown to this version"),
        (edit(method=["x"]), "model.json is damaged"),
        (lambda f: (f / "model.json").write_text("[" * 200_000), "model.json is damaged"),
        (lambda f: (f / "model.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000), "model.json is damaged"),
        (lambda f: (f / "model.json").write_text(" " * 2**21), "model.json is damaged .longer than"),
        (edit(dataset="x" * 10**5), "model.json is damaged .its dataset is no name"),
        (edit(encoder=["x"]), "model.json is damaged .its encoder is no name"),
        (edit(style_domain="\x1b[31m"), "model.json is damaged .its style_domain has control characters"),
        (config(attributes=["warm", "\x1b[31m"]), "model.json is damaged .its attributes has control characters"),
        (config(styles=["x" * 10**5]), "model.json is damaged .its styles is no name"),
        (edit(format=True), "has model format True"),
        (config(blocks=10**7), "does not take: blocks is 10000000: it must be ≤ 32"),
        (config(filters=10**40), "does not take: filters is 10+: it must be ≤ 256"),
        (config(filters=True), "does not take: filters has the wrong value True"),
        (config(filters=4.5), "does not take: filters has the wrong value 4.5"),
        (config(blocks=float("inf")), "does not take: blocks has the wrong value inf"),
        (config(blocks=-1), "does not take: blocks is -1: it must be ≥ 1"),
        (config(content_weight=float("nan")), "does not take: content_weight has the wrong value nan"),
        (config(content_weight=10**400), "does not take: content_weight"),
        (config(adversarial="x"), "does not take: adversarial has the wrong value 'x'"),
        (config(optimizer=[1]), "does not take: optimizer is no object"),
        (config(optimizer={"beta1": 2}), "does not take: optimizer.beta1 is 2: it must be < 1"),
        (weights(lambda x: torch.full_like(x, float("nan"))), "holds NaN or infinite weights"),
        (weights(lambda x: torch.full_like(x, float("-inf"))), "holds NaN or infinite weights"),
        (weights(one_nan), "holds NaN or infinite weights"),
        (weights(lambda x: x.double()), "does not hold the network .* is F64 .*, not F32"),
        (weights(lambda x: x.bfloat16()), "does not hold the network .* is BF16 .*, not F32"),
        (weights(lambda x: x.to(torch.int8)), "does not hold the network .* is I8 .*, not F32"),
        (weights(lambda x: x.bool()), "does not hold the network .* is BOOL .*, not F32"),
        (weights(lambda x: x[None]), "does not hold the network"),
        (extra, "evil.extra is F32 .3., not missing"),
        (header(b"{}", 2**62), "is damaged or cut short"),
        (header(b"{}"), "is damaged or cut short"),
        (header(b""), "is damaged or cut short"),
        (header(b" " * 2**23), "its header has 8388608 bytes"),
        (header(b'{"a":' * 100_000), "nested too deeply"),
        (header(b'{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}'), "has 16 bytes, other"),
        (header(b'{"x":{"dtype":"F32","shape":[-4,-1],"data_offsets":[0,16]}}'), "impossible shape"),
        (header(b'{"x":{"dtype":"F99","shape":[4],"data_offsets":[0,16]}}'), "its header is damaged"),
        (header(b'{"x":{"dtype":"F32","shape":4,"data_offsets":[0,16]}}'), "its header is damaged"),
        (
            header(
                b'{"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"y":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}'
            ),
            "the bytes of y do not follow",
        ),
        (edit(config={"filters": 8}), "does not hold the network that model.json describes"),
        (edit(config={"colour": 8}), "has a config that cpgan does not take"),
        (edit(config={"filters": "many"}), "has a config that cpgan does not take"),
        (edit(config=None), "model.json is damaged"),
    ],
)
def test_damage_is_named(folder: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(folder)
    with pytest.raises((FileNotFoundError, ValueError), match=message) as caught:
        artifact.load(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_generator_has_a_size(tmp_path: Path) -> None:
    artifact.save(tmp_path, DCGAN, Dcgan.build_generator(DCGAN, None), {})
    config(size_px=0)(tmp_path)
    with pytest.raises(ValueError, match=r"does not take: size_px is 0: a trained model has the side of its pictures"):
        artifact.load(tmp_path)


def test_finite_weights_that_are_too_large_paint_nothing(folder: Path) -> None:
    weights(lambda x: torch.full_like(x, 3e38))(folder)
    model = artifact.load(folder)
    for images in (pictures(0)[:2], pictures(0)[:2].float() / 127.5 - 1):
        with pytest.raises(ValueError, match="the model painted NaN or infinite values"):
            model.painter()(images)
