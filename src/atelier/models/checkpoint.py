"""Checkpoints: the state of a trainer in one safetensors file."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from atelier.models.files import replacing
from atelier.models.training import Trainer


def save_checkpoint(path: Path, trainer: Trainer) -> None:
    """Write the trainer's state as one safetensors file, complete or not at all."""
    with replacing(path) as temporary:
        save_file({key: value.cpu().contiguous() for key, value in trainer.state_dict().items()}, temporary)


def is_whole(path: Path) -> bool:
    """Whether there is a file of `save_checkpoint`, as long as it says; only its head is read."""
    try:
        with safe_open(path, framework="pt"):
            return True
    except (FileNotFoundError, SafetensorError):
        return False


def load_checkpoint(path: Path, trainer: Trainer) -> None:
    """Load what `save_checkpoint` wrote.

    Raises:
        ValueError: the file is damaged or belongs to another training.
    """
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): delete it to start from the beginning") from error
    trainer.load_state_dict(state)
