"""Making a model that edits from one that generates: attribute directions, learned from labelled pictures.

A classifier of the attributes is trained on the training split, and predicts what generated pictures show: see
`models.methods.edit`. It is another one than that which measures edits, so that what is measured is not what was
sought.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from atelier.models import artifact, encoders
from atelier.models.card import MODEL_CARD, WEIGHTS, ModelCard, ModelIdentity
from atelier.models.methods import edit
from atelier.models.metrics import attributes as metric
from atelier.tasks.dataset.labels import check_labels, labels_of
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import files, held_out_pictures, training_pictures
from atelier.tasks.evaluation.attribute_edits import train_classifier
from atelier.tasks.evaluation.measures import center_squares
from atelier.tasks.evaluation.protocol import ClassifierSpec
from atelier.tasks.runtime import encoder_weights

ENCODER = "efficientnet_lite0"  # of inversions; embedded, so that every machine has it
LEARNED_FROM = 10_000  # training pictures at most
CHECKED_ON = 1000  # held-out pictures at most
SEED = 1  # of the classifier; the one that measures has 0


@dataclass(frozen=True)
class AttributeDirections:
    """The result."""

    model: Path  # the folder of the model that edits
    pictures: int  # that were learned from
    accuracy: dict[str, metric.Accuracy]  # of the classifier, by attribute, on held-out pictures

    @property
    def summary(self) -> str:
        """The result in lines."""
        width = max(map(len, self.accuracy))
        rows = [f"{name:{width}}  {found.balanced:8.0%}  {found.share:10.0%}" for name, found in self.accuracy.items()]
        head = f"{'':{width}}  recognised  have it"
        return "\n".join(
            [f"{self.model} edits {len(self.accuracy)} attributes, learned from {self.pictures} pictures:", head, *rows]
        )


def learn_directions(
    model: Path, identity: ModelIdentity, dataset: Path, domain: str, attributes: Sequence[str], out: Path, cache: Path
) -> AttributeDirections:
    """Write a model folder that edits pictures, from a model that generates. Equal arguments give equal bytes.

    Args:
        model: folder of a model whose method is in `edit.BASES`.
        identity: of the model.
        dataset: with the attributes of its pictures.
        domain: of the pictures; "" takes that which the model was trained on.
        attributes: names that can be given and taken.
        out: the folder to make.
        cache: folder that keeps the classifier from run to run.

    Raises:
        FileNotFoundError: there is no such model, dataset or encoder.
        FileExistsError, NotADirectoryError: `out` holds something, or is a file.
        ValueError: the model has no latents, or an attribute is that of no picture.
    """
    facts = ModelCard.read(model)
    if facts.method not in edit.BASES:
        raise ValueError(
            f"{identity.label} was trained by {facts.method}, which has no latents that could be moved: "
            f"{', '.join(edit.BASES)} have"
        )
    _check_free(out)
    card = read_card(dataset)
    domain = domain or facts.style_domain or card.domains[0]
    if domain not in card.domains:
        raise ValueError(f"the dataset has no domain {domain!r}: it has {', '.join(card.domains)}")
    check_labels(dataset, card, [domain], attributes)
    trained, encoder = artifact.load(model), encoders.load(ENCODER, encoder_weights.resolve(ENCODER))
    size, names = trained.config.size_px, tuple(attributes)
    classifier = train_classifier(ClassifierSpec(dataset, (domain,), names, size, cache, SEED))
    real = torch.cat(
        [center_squares(files(shard), size) for shard in training_pictures(dataset, card, domain, LEARNED_FROM)]
    )
    config, networks = edit.learn(trained.config, trained.generator, classifier, names, encoder, real)
    held_out = held_out_pictures(dataset, card, domain, CHECKED_ON)
    predicted = metric.predict(classifier, center_squares(files(held_out), size))
    truth = labels_of((picture.attributes for picture in held_out), names, domain) > 0
    artifact.save(
        out,
        config,
        networks,
        {
            "dataset": card.id,
            "content_domain": domain,
            "style_domain": domain,
            "encoder": ENCODER,
            "augment": {"size_px": size},
            "made_of": {"model": identity.label, "weights_sha256": identity.weights_sha256},
        },
    )
    return AttributeDirections(out, len(real), metric.accuracies(predicted, truth, names))


def _check_free(out: Path) -> None:
    """Refuse a place that holds something, but for a model that a killed run began to write."""
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file: choose a folder")
    parts = {WEIGHTS} | {one.name for file in (MODEL_CARD, WEIGHTS) for one in out.glob(f".{file}.*.tmp")}
    if out.exists() and not {one.name for one in out.iterdir()} <= parts:
        raise FileExistsError(f"{out} is not empty: choose another folder")
