"""Making a model that edits, from labelled pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from atelier.models import artifact
from atelier.models.card import ModelCard, identify
from atelier.models.controls import Controls
from atelier.models.methods.stargan import Editor
from atelier.models.methods.vae import Vae
from atelier.models.networks.classifier import Classifier
from atelier.tasks.dataset.shards import Card, write_card
from atelier.tasks.dataset.subsets import files, held_out_pictures
from atelier.tasks.evaluation import attribute_directions, attribute_edits
from atelier.tasks.evaluation.attribute_directions import learn_directions
from tests.models.tiny import STARGAN, VAE
from tests.tasks.evaluation.test_evaluate import make_faces


def test_a_model_that_edits_is_made_of_one_that_generates(tmp_path: Path) -> None:
    dataset, vae, cache = tmp_path / "dataset", tmp_path / "vae", tmp_path / "cache"
    dataset.mkdir()
    write_card(dataset, card := Card(1, (make_faces(dataset, "train", 100, 6), make_faces(dataset, "holdout", 24, 8))))
    torch.manual_seed(0)
    artifact.save(vae, VAE, Vae.build_generator(VAE, None), {})
    names = ("warm", "light")

    def learned(out: str, attributes: tuple[str, ...] = names, domain: str = "") -> Path:
        found = learn_directions(
            vae, identify(vae, "vae", "v1.0.0"), dataset, domain, attributes, tmp_path / out, cache
        )
        assert all(told.accuracy == 1 for told in found.accuracy.values())
        assert "edits 2 attributes, learned from 100 pictures" in found.summary
        return found.model

    one, two = learned("one"), learned("two")
    for name in ("model.json", "generator.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    facts = ModelCard.read_trained(one)
    assert (facts.method, facts.attributes, facts.kind, facts.size_px) == ("edit", names, "edits", 32)
    assert facts.dataset == card.id
    assert facts.training["made_of"]["model"] == "vae@v1.0.0"
    pictures = torch.randint(0, 256, (2, 3, 40, 32), dtype=torch.uint8)
    assert artifact.load(one).painter(Controls(to=("warm=0.5",)))(pictures).shape == pictures.shape
    held_out = files(held_out_pictures(dataset, card, "faces", 4))
    truth = np.zeros((4, 2), np.bool_)
    real = attribute_edits.Recognised(Classifier(2, 2), names, truth, truth)
    measured = attribute_edits.edit_photos(held_out, 32, one, real, None)
    assert list(measured.predicted) == ["warm", "light", "-warm", "-light"], "it is evaluated as stargan is"
    (two / "model.json").unlink()  # as after a kill between the files
    assert (learned("two") / "model.json").read_bytes() == (one / "model.json").read_bytes()
    with pytest.raises(FileExistsError, match="one is not empty"):
        learned("one")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file: choose a folder"):
        learned("file")
    with pytest.raises(ValueError, match="no picture has the attribute 'soft': there are dark, faces, light, warm"):
        learned("three", ("soft",))
    with pytest.raises(ValueError, match="no attributes are named"):
        learned("three", ())
    with pytest.raises(ValueError, match="the dataset has no domain 'cats': it has faces"):
        learned("three", domain="cats")
    artifact.save(tmp_path / "stargan", STARGAN, Editor(STARGAN), {})
    identity = identify(tmp_path / "stargan", "stargan", "")
    with pytest.raises(ValueError, match="stargan, which has no latents that could be moved"):
        learn_directions(tmp_path / "stargan", identity, dataset, "", names, tmp_path / "three", cache)
    assert attribute_directions.SEED != 0, "the classifier that measures has another seed"
