"""The failure limit of a job: the number or share of inputs that may be quarantined before the job fails."""

import math
from collections.abc import Mapping

from atelier.tasks.storage.destination import Destination


def allowed_failures(text: str, total: int) -> int:
    """Number of inputs that may be quarantined.

    Args:
        text: a count, "100"; a share of all inputs, "0.05" or "5%"; or "" for no limit.
        total: number of inputs.

    Raises:
        ValueError: the text is none of these.
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
            f"{text!r} is no limit for quarantined inputs: give a count like 100, or a share like 0.05 or 5%"
        ) from error
    return math.floor(limit + 1e-9)  # 7 % of 100 is 7.000000000000001


def enforce(counts: Mapping[str, int], limit: str, destination: Destination) -> None:
    """Stop a job that has more quarantined inputs than the limit.

    Raises:
        RuntimeError: the message gives the count, the limit and the remedy.
    """
    total, failed = sum(counts.values()), counts["quarantined"]
    if failed > allowed_failures(limit, total):
        raise RuntimeError(
            f"{failed} of {total} inputs are quarantined, more than the limit of {limit}: see {destination}/_atelier/"
            "quarantine.csv, repair the files and use --retry-quarantined, or raise --max-quarantine"
        )
