"""What `atelier evaluate --sheet` and `--answers` do: write a blind sheet of pairs, and count its answers."""

from collections.abc import Callable, Sequence
from pathlib import Path

from atelier.tasks.workspace.layout import Workspace


def write_sheet(workspace: Workspace, models: Sequence[str], pictures: str | None, pairs: int) -> tuple[object, str]:
    """Write a sheet into the workspace's reports; the result, and what to tell the user.

    Args:
        pictures: a source of photographs; None takes held-out ones.
    """
    from atelier.flows.config.params import Params
    from atelier.tasks.dataset.shards import read_card
    from atelier.tasks.dataset.subsets import held_out_pictures
    from atelier.tasks.inference.preference_sheet import pictures_of
    from atelier.tasks.inference.preference_sheet import write_sheet as write

    params, photos = Params(workspace.params), dict[str, Callable[[], bytes]]()
    if pictures is None:
        card = read_card(workspace.dataset)
        held_out = held_out_pictures(workspace.dataset, card, params.train.content, params.evaluate.pictures)
        photos = {picture.id: picture.data.__bytes__ for picture in held_out}
    else:
        photos = pictures_of(pictures, Path.cwd())
    made = write(workspace.preference, models, photos, pairs, params.evaluate.seed, workspace.root)
    judge = f"{made.page}: {made.pairs} pairs, judge them in a browser and save the answers"
    return made, f"{judge}\n{made.key}: who painted what\nthen: atelier evaluate --answers FILE"


def count_answers(workspace: Workspace, answers: Path) -> tuple[object, str]:
    """Count the answers to the workspace's last sheet; the result, and what to tell the user.

    Raises:
        FileNotFoundError: there is no such file, or no sheet was written.
        ValueError: a line is no answer, or the answers are of another sheet.
    """
    from atelier.tasks.evaluation.preference import count, read_answers, read_key

    key = workspace.preference / "key.json"
    for file, what in ((key, "no sheet was written: `atelier evaluate --models A B --sheet`"), (answers, "")):
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist{': ' if what else ''}{what}")
    pairs = read_key(key.read_bytes())
    found = count(pairs, read_answers(answers.read_text(encoding="utf-8"), pairs))
    judged = sum(one.wins + one.losses + one.ties for one in found)
    return found, "\n".join([f"{judged} of {len(pairs)} pairs were judged", *(one.sentence for one in found)])
