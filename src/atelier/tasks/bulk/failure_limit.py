"""How many inputs of a job may fail before the job does."""

import math
from collections.abc import Mapping

from atelier.tasks.storage.destination import Destination


def allowed_failures(text: str, total: int) -> int:
    """How many of `total` inputs may be in quarantine.

    Args:
        text: a count, "100"; a share of all inputs, "0.05" or "5%"; or "", which sets no limit.
        total: inputs.

    Raises:
        ValueError: it is none of these.
    """
    if not text:
        return total
    number = text.removesuffix("%")
    try:
        share = number != text or "." in text
        limit = float(number) * total / (100 if number != text else 1) if share else int(text)
        if not 0 <= limit < math.inf:
            raise ValueError(limit)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no limit for the quarantine: give a count like 100, or a share like 0.05 or 5%"
        ) from error
    return math.floor(limit + 1e-9)  # 7 % of 100 is 7.000000000000001


def enforce(counts: Mapping[str, int], limit: str, destination: Destination) -> None:
    """Fail a job of which too much has failed.

    Raises:
        RuntimeError: says how much, how much may, and what to do.
    """
    total, failed = sum(counts.values()), counts["quarantined"]
    if failed > allowed_failures(limit, total):
        raise RuntimeError(
            f"{failed} of {total} inputs are in quarantine, and {limit} at most may be: see "
            f"{destination}/_atelier/quarantine.csv, mend them and use --retry-quarantined, or raise --max-quarantine"
        )
