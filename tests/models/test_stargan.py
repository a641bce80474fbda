"""StarGAN: the paper's objective, labels that reach every pixel, and wishes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.configs.translation import StarganConfig
from atelier.models.controls import Controls
from atelier.models.losses.penalties import gradient_penalty
from atelier.models.methods.base import Batch
from atelier.models.methods.stargan import Editor, EditRequest, Stargan
from atelier.models.metrics.attributes import accuracies, by_group, learn, predict, successes
from atelier.models.networks.classifier import Classifier
from atelier.models.networks.stargan import (
    ClassifyingDiscriminator,
    ConditionedGenerator,
    ConditionedResidual,
    ProjectedClassifyingDiscriminator,
)
from tests.models.tiny import STARGAN, TRAINING, TinyEncoder, batches, ignore, pictures, trainer

pytestmark = pytest.mark.long

FACES = StarganConfig(
    attributes=("Black", "Blond", "Brown", "Male", "Young"), exclusive=("Black", "Blond", "Brown"), filters=4, blocks=1
)


def test_labels_reach_the_middle_of_a_picture() -> None:
    """A constant plane before a norm would vanish but for its borders."""
    torch.manual_seed(0)
    generator = ConditionedGenerator(8, 2, 2)
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(generator(x, torch.ones(1, 2)), x), "it begins with what it is given"
    torch.nn.init.normal_(generator.decode[-1].weight)  # type: ignore[arg-type]
    one, two = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    difference = (generator(x, one) - generator(x, two)).abs()
    assert difference[:, :, 24:40, 24:40].mean() > 0.5 * difference.mean() > 0
    for block in generator.transform:
        assert isinstance(block, ConditionedResidual)
        torch.nn.init.zeros_(block.told.weight)
    difference = (generator(x, one) - generator(x, two)).abs()
    assert difference[:, :, 24:40, 24:40].mean() > 1e-6, "as planes of the picture they do without the blocks"


def test_a_discriminator_takes_any_size() -> None:
    discriminator = ClassifyingDiscriminator(4, 4, 5, True)
    for size in (32, 64, 80):
        scores, told = discriminator(torch.zeros(2, 3, size, size))
        assert scores.shape == (2, 1, size // 16, size // 16)
        assert told.shape == (2, 5)
    projected = ProjectedClassifyingDiscriminator(TinyEncoder(), 4, 5)
    for size in (32, 80):
        scores, told = projected(torch.zeros(2, 3, size, size))
        assert scores.shape[0] == 2 == told.shape[0]
        assert told.shape[1] == 5
    assert Classifier(5, 2)(torch.zeros(2, 3, 109, 89)).shape == (2, 5)


@pytest.mark.parametrize("kind", ["hinge", "wasserstein"])
def test_the_step_is_the_papers_objective(kind: Any) -> None:
    """Equations 1 to 6 and 8, written out picture by picture."""
    config = replace(STARGAN, adversarial=kind)
    t = trainer(config)
    (part,) = t._parts(batches(TRAINING)(0))
    editor, discriminator = t.method.modules["generator"], t.method.modules["discriminator"]
    assert isinstance(editor, Editor)
    generator = editor.painter
    t.method.begin("generator", [part])
    (found,) = t.method.losses("generator", part)
    assert part.content_labels is not None
    assert part.style_labels is not None
    expected = dict.fromkeys(found, 0.0)
    for x, had, wanted in zip(part.content, part.content_labels, part.style_labels, strict=True):
        painted = generator(x[None], wanted[None])
        scores, told = discriminator(painted)
        p = torch.sigmoid(told[0])
        expected["adversarial"] -= scores.mean().item() / 4
        expected["classification"] -= (wanted * p.log() + (1 - wanted) * (1 - p).log()).sum().item() / 4
        expected["reconstruction"] += (generator(painted, had[None]) - x).abs().mean().item() / 4
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-4), name
    weights = t.method.weights
    assert [weights[name] for name in ("adversarial", "classification", "reconstruction")] == [1, 1, 10]

    losses, classifier = t.method.losses("discriminator", part)
    real, told = discriminator(part.style)
    fake, _ = discriminator(part.saved["painted"])
    assert losses["discriminator_classification"].item() == pytest.approx(
        F.binary_cross_entropy_with_logits(told, part.style_labels).item() * 3, rel=1e-4
    ), "of real pictures only"
    if kind == "wasserstein":
        assert losses["discriminator"].item() == pytest.approx((fake.mean() - real.mean()).item(), rel=1e-4, abs=1e-6)
        penalty = gradient_penalty(
            lambda x: discriminator(x)[0], part.style, part.saved["painted"], part.uniform(1, 0)[:, 0]
        )
        assert losses["gradient_penalty"].item() == pytest.approx(penalty.item(), rel=1e-4)
        assert weights["gradient_penalty"] == 10
    else:
        assert losses["discriminator"].item() == pytest.approx(
            (F.relu(1 - real).mean() + F.relu(1 + fake).mean()).item(), rel=1e-4
        )
    assert set(classifier) == {"classifier", "attribute_accuracy"}


def test_who_has_the_turn_learns() -> None:
    t = trainer(STARGAN, steps=1)
    before = {key: value.clone() for key, value in t.state_dict().items()}
    t.run(batches(TRAINING), ignore, ignore, ignore)
    after = t.state_dict()
    for prefix in ("generator/painter", "generator/classifier", "discriminator/"):
        keys = [key for key in after if key.startswith(prefix) and after[key].is_floating_point()]
        assert any(not torch.equal(after[key], before[key]) for key in keys), prefix
    names = [name for name, p in t.method.modules["generator"].named_parameters() if p.requires_grad]
    assert names
    assert all(name.startswith("classifier") for name in names), "in the discriminator's turn"


@pytest.mark.parametrize("kind", ["patchgan", "projected"])
def test_attributes_are_learned(kind: Any) -> None:
    """Dark pictures and light ones: what is asked for is painted, and the classifier tells which is which."""
    quick = replace(STARGAN.optimizer, generator_lr=3e-3, discriminator_lr=2e-3)
    config = replace(
        STARGAN,
        attributes=("light",),
        exclusive=(),
        filters=8,
        reconstruction_weight=2.0,
        optimizer=quick,
        discriminator=kind,
        diffaugment=("translation",) if kind == "projected" else (),
    )
    coarse = torch.randint(0, 90, (8, 3, 4, 4), generator=torch.Generator().manual_seed(0)).byte()
    dark, light = (F.interpolate(x, scale_factor=4) for x in (coarse[:4], coarse[4:] + 150))
    both, said = torch.cat([dark, light]), torch.tensor([[0.0]] * 4 + [[1.0]] * 4)
    order = torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])
    seen: list[dict[str, float]] = []
    t = trainer(config, steps=80, log_every=10, batch_size=8, decay_from=1.0)
    t.run(
        lambda step: Batch(both, both[order], said, said[order]),
        lambda step, metrics: seen.append(metrics),
        ignore,
        ignore,
    )
    assert seen[-1]["attribute_accuracy"] == 1
    assert seen[-1]["classification"] < 0.5 * seen[0]["classification"]

    def brighter(picture: torch.Tensor, *to: str) -> float:
        painted = Stargan.painter(config, t.generator_ema, Controls(to=to))(picture)
        return (painted.float() - picture.float()).mean().item()

    assert brighter(dark, "light") > 10
    assert brighter(light, "-light") < -10
    assert abs(brighter(light, "light")) < brighter(dark, "light"), "it is light already"
    assert brighter(dark) == brighter(dark, "light"), "with no wish it shows what it can"
    assert brighter(light) == brighter(light, "-light")


@pytest.mark.parametrize(
    ("to", "had", "wanted"),
    [
        (("Blond",), (1, 0, 0, 1, 1), (0, 1, 0, 1, 1)),
        (("-Black",), (1, 0, 0, 0, 1), (0, 0, 0, 0, 1)),
        (("-Male", "Brown"), (0, 1, 0, 1, 0), (0, 0, 1, 0, 0)),
        (("Young", "Male"), (0, 0, 1, 0, 0), (0, 0, 1, 1, 1)),
        ((), (1, 0, 0, 1, 1), (0, 1, 0, 1, 1)),
        ((), (0, 0, 1, 1, 1), (1, 0, 0, 1, 1)),
    ],
)
def test_a_wish_changes_what_it_names(to: tuple[str, ...], had: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    labels = torch.tensor([had], dtype=torch.float32)
    assert EditRequest(FACES, to).apply(labels).tolist() == [list(wanted)]
    assert labels.tolist() == [list(had)]


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (("Bald",), "the model knows no attribute 'Bald': it has Black, Blond, Brown, Male, Young"),
        (("-Old",), "the model knows no attribute 'Old'"),
        (("Black", "Brown"), "Black and Brown exclude each other: name one of them"),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_one_line(to: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        Stargan.painter(FACES, Editor(FACES), Controls(to=to))
    assert "\n" not in str(raised.value)


def test_a_config_without_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stargan\.exclusive names 'Bald'"):
        StarganConfig(attributes=("Male",), exclusive=("Bald",))
    with pytest.raises(ValueError, match=r"stargan\.attributes names one twice"):
        StarganConfig(attributes=("Male", "Male"))
    with pytest.raises(ValueError, match=r"train\.stargan\.attributes is empty"):
        Stargan(StarganConfig(), TinyEncoder(), torch.device("cpu"), torch.float32)


def test_a_model_keeps_its_attributes_and_paints_any_size(tmp_path: Any) -> None:
    t = trainer(STARGAN, steps=2)
    t.run(batches(TRAINING), ignore, ignore, ignore)
    artifact.save(tmp_path, STARGAN, t.generator_ema, {})
    model = artifact.load(tmp_path)
    assert model.config == STARGAN
    picture = pictures(1)[:2, :, :30, :21]
    painted = model.painter(Controls(to=("light", "-warm")))(picture)
    assert painted.shape == picture.shape
    assert torch.equal(model.painter(Controls(0.0, to=("light",)))(picture), picture)
    alone = model.painter(Controls(to=("light", "-warm")))(picture[:1])
    torch.testing.assert_close(alone[0].int(), painted[0].int(), atol=1, rtol=0)
    with pytest.raises(ValueError, match="stargan has no control 'direction': it has strength, to"):
        model.painter(Controls(direction="b2a"))


def test_a_classifier_measures_attributes() -> None:
    """Bright pictures and reddish ones, in noise."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 2, (400, 2), generator=generator)
    x = 60 + 40 * torch.rand(400, 3, 32, 32, generator=generator) + 60 * truth[:, :1, None, None]
    x[:, 0] += 50 * truth[:, 1, None, None]
    shown = x.byte()
    classifier = learn(shown[:300], truth[:300].float(), filters=4, epochs=6, batch=16)
    first, again = (learn(shown[:64], truth[:64].float(), filters=4, epochs=1).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    names = ("bright", "red")
    told, had = predict(classifier, shown[300:]), truth[300:].bool().numpy()
    found = accuracies(told, had, names)
    assert all(a.accuracy > 0.95 and a.balanced > 0.95 for a in found.values())
    assert found["red"].share == had[:, 1].mean()
    # what edits should have done: all bright, half of them done
    edited = shown[300:].clone()
    dull = np.flatnonzero(~had[:, 0])
    done = dull[: len(dull) // 2]
    edited[torch.from_numpy(done)] += 60
    wanted = had.copy()
    wanted[:, 0] = True
    result = successes(predict(classifier, edited), wanted, had, names)
    assert set(result) == {"bright"}, "nothing else had to change"
    assert result["bright"].pictures == len(dull)
    assert result["bright"].share == pytest.approx(len(done) / len(dull), abs=0.05)
    assert result["bright"].groups["-bright"] == (result["bright"].share, len(dull))
    assert sum(result["bright"].groups[g][1] for g in ("red", "-red")) == len(dull)


def test_shares_by_group_are_counted() -> None:
    had = np.array([[True, True], [True, False], [False, False], [False, True]])
    groups = by_group(np.array([True, False, True, True]), had, ("a", "b"))
    assert groups == {"a": (0.5, 2), "-a": (1.0, 2), "b": (1.0, 2), "-b": (0.5, 2)}
    told = np.array([[True], [False]])
    found = accuracies(told, np.array([[True], [True]]), ("a",))["a"]
    assert (found.accuracy, found.balanced, found.share) == (0.5, 0.5, 1.0)
