"""The state of a version in a word: what the gate and people made of it."""

from collections.abc import Sequence

from atelier.tasks.registry.promotion import rollback_targets
from atelier.tasks.registry.tags import PROD, REJECTED, StageAssignment, Version

REFUSED = "refused"  # by the gate, and never prod
AWAITING = "awaiting"  # passed the gate and never was prod: a person has not approved it, or prod changed meanwhile
REPLACED = "replaced"  # was prod until a newer one: a rollback may return to it
ROLLED_BACK = "rolled back"  # was prod until a rollback

STATES = (PROD, AWAITING, REFUSED, REJECTED, REPLACED, ROLLED_BACK)


def version_state(
    version: Version, history: Sequence[StageAssignment], rejections: Sequence[StageAssignment] = ()
) -> str:
    """One of `STATES`.

    Args:
        history: all assignments of its model to `prod`, the current one last.
        rejections: all assignments of its model to the stage `rejected`.
    """
    if version.stage == PROD:
        return PROD
    if version.version in {one.version for one in history}:
        return REPLACED if version.version in rollback_targets(history) else ROLLED_BACK
    if version.version in {one.version for one in rejections}:
        return REJECTED
    return AWAITING if version.passed else REFUSED
