"""Optimisation of one picture: it lowers its loss, the same way every time, and every control counts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from atelier.models import artifact
from atelier.models.checkpoint import save_checkpoint
from atelier.models.configs.style_statistics import GatysConfig
from atelier.models.controls import Controls, Style
from atelier.models.encoders import ENCODERS
from atelier.models.encoders.alexnet import AlexNet
from atelier.models.encoders.inception import Inception
from atelier.models.losses.perceptual import gram, style_loss
from atelier.models.methods.gatys import Gatys, GatysGenerator, Optimisation
from atelier.models.training import Trainer
from tests.models.test_training import _connected
from tests.models.tiny import TRAINING, TinyEncoder, assert_precision_is_kept, batches, ignore, pictures, trainer

CONFIG = GatysConfig(steps=4, scales=2, style_images=16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> artifact.TrainedModel:
    """Prepared, saved and loaded."""
    folder = tmp_path_factory.mktemp("model")
    t = trainer(CONFIG)
    finished: list[int] = []
    t.run(batches(TRAINING), ignore, finished.append, ignore)
    assert finished == [TRAINING.steps]
    artifact.save(folder, CONFIG, t.generator_ema, {"encoder": "tiny"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, "tiny", TinyEncoder)
        return artifact.load(folder)


@pytest.fixture
def images() -> Tensor:
    return pictures(7)[:2].repeat(1, 1, 4, 4)[..., :130, :129]  # two sizes are painted


DARK = np.random.default_rng(0).integers(0, 60, (40, 30, 3), dtype=np.uint8)
dark, bright = Style("dark.png", pixels=DARK), Style("bright.png", pixels=255 - DARK)


def test_what_is_learned_are_the_mean_gram_matrices(model: artifact.TrainedModel) -> None:
    features = TinyEncoder()(pictures(2).float() / 255)
    assert isinstance(model.generator, GatysGenerator)
    for layer, found in model.generator.trained().items():
        torch.testing.assert_close(found, gram(features[layer]).mean(0))


@pytest.mark.parametrize("algorithm", ["lbfgs", "adam"])
def test_the_loss_falls_at_every_further_step(model: artifact.TrainedModel, algorithm: Any) -> None:
    assert isinstance(model.generator, GatysGenerator)
    generator = model.generator
    given = pictures(7)[:1].float() / 127.5 - 1
    target = generator.seen(generator(pictures(2)[:1].float() / 512 - 1))
    losses = []
    for steps in (1, 5, 25):
        config = replace(CONFIG, algorithm=algorithm, content_weight=0.1)
        task = Optimisation(config, generator, [[target]], steps, config.style_weight)
        content = generator(given)[generator.encoder.content_layer]
        losses += [
            task.loss(x, content, [(target, None)]).item() for x in ([given] if steps == 1 else []) + [task(given)]
        ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.3 * losses[0]


def test_painting_is_a_function_of_the_picture_alone(model: artifact.TrainedModel, images: Tensor) -> None:
    painted = model.painter()(images)
    assert painted.shape == images.shape
    assert not torch.equal(painted, images)
    assert torch.equal(model.painter()(images), painted)
    assert torch.equal(model.painter()(images[1:]), painted[1:]), "neighbours count"
    assert torch.equal(model.painter()(images[[0, 1, 1]]), painted[[0, 1, 1]])
    channels_last = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # as decoded pictures lie
    assert torch.equal(model.painter()(channels_last), painted)
    assert_precision_is_kept(model.painter(), images)
    with torch.inference_mode():
        assert torch.equal(model.painter()(images.clone()), painted)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (37, 18)])
def test_pictures_of_any_size(model: artifact.TrainedModel, size: tuple[int, int]) -> None:
    small = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    styles = (Style("dot.png", pixels=np.zeros((1, 1, 3), np.uint8)), Style("trained"))
    for controls in (Controls(), Controls(styles=styles)):
        assert model.painter(controls)(small).shape == small.shape


def test_every_encoder_sees_small_pictures() -> None:
    config = replace(CONFIG, steps=1)
    dot = Style("dot.png", pixels=np.zeros((1, 1, 3), np.uint8))
    images = torch.zeros(1, 3, 5, 2, dtype=torch.uint8)
    painted = Gatys.painter(config, Gatys.build_generator(config, AlexNet), Controls(styles=(dot,)))(images)
    assert painted.shape == images.shape


def test_features_without_positions_are_no_part_of_a_layout() -> None:
    assert Inception.layout()[Inception.content_layer][0] == 768


def test_every_control_counts(model: artifact.TrainedModel, images: Tensor) -> None:
    image = images[:1, :, :40, :40]

    def painted(**said: Any) -> Tensor:
        return model.painter(Controls(**said))(image)

    usual = painted()
    assert torch.equal(painted(strength=0.0), image)
    assert (painted(strength=0.5).float() - (usual.float() + image.float()) / 2).abs().max() <= 1
    assert torch.equal(painted(steps=4, style_weight=1.0, styles=(Style("trained", 0.2),)), usual)
    for said in (
        {"steps": 8},
        {"style_weight": 3.0},
        {"styles": (dark,)},
        {"preserve_color": True},
        {"styles": (dark, Style("trained"))},
    ):
        assert not torch.equal(painted(**said), usual), said


def test_a_style_takes_its_statistics(model: artifact.TrainedModel, images: Tensor) -> None:
    """The Gram matrices of what is painted come near those of the style that was said."""
    image = images[:1, :, :40, :40]
    painted = {
        name: model.painter(Controls(styles=styles, steps=20, style_weight=10.0))(image)
        for name, styles in {"dark": (dark,), "bright": (bright,), "both": (dark, bright)}.items()
    }

    def seen(pixels: Tensor) -> dict[str, Tensor]:
        assert isinstance(model.generator, GatysGenerator)
        return model.generator.seen(model.generator(pixels.float() / 127.5 - 1))

    of_style = {
        name: seen(torch.from_numpy(s.pixels).permute(2, 0, 1)[None])
        for name, s in (("dark", dark), ("bright", bright))
    }
    of_style["both"] = {layer: (of_style["dark"][layer] + of_style["bright"][layer]) / 2 for layer in of_style["dark"]}
    for name, target in of_style.items():
        distances = {other: style_loss(seen(x), target).item() for other, x in painted.items()}
        assert min(distances, key=distances.__getitem__) == name
        assert distances[name] < 0.1 * style_loss(seen(image), target)


def test_styles_have_their_places(model: artifact.TrainedModel, images: Tensor) -> None:
    """The part of a picture in a mask comes near the style there; what is in no mask stays bit by bit."""
    image = images[:1, :, :40, :40]
    left = np.zeros((40, 40), np.uint8)
    left[:, :16] = 255
    right = np.ascontiguousarray(left[:, ::-1])
    styles = (replace(dark, mask=left), replace(bright, mask=right))
    painted = model.painter(Controls(styles=styles, steps=10, style_weight=10.0))(image)
    assert torch.equal(painted[..., 16:24], image[..., 16:24])
    assert isinstance(model.generator, GatysGenerator)
    generator = model.generator
    targets = [generator.seen(generator(torch.tensor(s.pixels).permute(2, 0, 1)[None] / 127.5 - 1)) for s in styles]
    for own, side in enumerate((slice(0, 16), slice(24, 40))):
        seen = generator.seen(generator(painted[..., side].float() / 127.5 - 1))
        assert style_loss(seen, targets[own]) < 0.2 * style_loss(seen, targets[1 - own])


def test_what_it_cannot_is_refused(model: artifact.TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^style 'picaso' is no picture file.*it knows 'trained'$"):
        model.painter(Controls(styles=(Style("picaso"),)))
    with pytest.raises(ValueError, match="does not say which it was trained with"):
        Gatys.build_generator(CONFIG, None)


def _train(rank: int, world_size: int, folder: str) -> None:
    _connected(rank, world_size, folder)
    t = Trainer(CONFIG, TRAINING, TinyEncoder(), rank=rank)
    t.run(batches(TRAINING, rank, world_size), ignore, ignore, ignore)
    save_checkpoint(Path(folder) / f"{rank}.safetensors", t)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_workers_learn_the_same(tmp_path: Path) -> None:
    one = trainer(CONFIG)
    one.run(batches(TRAINING), ignore, ignore, ignore)
    torch.multiprocessing.spawn(_train, (2, str(tmp_path)), nprocs=2)
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    for key, expected in one.state_dict().items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], expected, msg=key)


def test_its_config_is_plain_values(model: artifact.TrainedModel) -> None:
    assert model.config == CONFIG
    assert json.loads(json.dumps(dict(model.card.config)))["algorithm"] == "lbfgs"
