"""Data validation: checks that a new dataset must pass before training.

Arrivals are compared with the pictures that `prod` was trained on: a hundred foreign pictures among ten thousand do not
show in the whole, but they are most of a night's arrivals. A difference counts only beyond what chance explains, so
that ordinary growth does not stop a night.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from atelier.models.metrics.drift import drift
from atelier.models.settings import Settings, setting
from atelier.tasks.dataset.profile import COLOURS, DomainProfile, Profile, arrivals, representatives
from atelier.tasks.dataset.screening import DUPLICATE, NEAR
from atelier.tasks.dataset.shards import Card

FEWEST = 16  # parents on either side: with fewer, their statistics are not compared
SURE = 3.0  # standard errors that are subtracted from a difference of means: the rest is not chance (1 in 700)
_SEED = 0  # the same arrivals give the same result
_PER_LEVEL = 10  # permutations per one that may exceed the level of the test
_SIZES, _FEATURES = slice(0, 2), slice(2 + len(COLOURS), None)
HEADER = ("check", "domain", "value", "limit", "result", "what was found")


@dataclass(frozen=True)
class ChecksConfig(Settings):
    """Limits of data validation."""

    min_pictures: int = setting(1, "pictures of each domain in the training split, at least", ge=1)
    max_quarantined_share: float = setting(
        0.2, "largest share of unreadable files, of all and of those that arrived", ge=0, le=1
    )
    max_duplicates_share: float = setting(0.9, "largest share of files that stay out as copies", ge=0, le=1)
    max_lost_share: float = setting(
        0.2, "largest share of prod's pictures that may be gone, in each domain", ge=0, le=1
    )
    max_size_change: float = setting(
        0.3, "how much larger or smaller arrivals may be than prod's pictures, 0.3 is 30 %", ge=0
    )
    max_colour_shift: float = setting(
        12.0, "how far the arrivals' mean colour, brightness or contrast may be off, in 8-bit levels", ge=0, le=255
    )
    drift_p: float = setting(
        0.01, "share of honest nights on which drift may be seen by chance, in all domains together", ge=0.001, le=0.2
    )
    drift_min: float = setting(0.004, "smallest kernel distance (MMD²) that counts as drift, however certain", ge=0)
    drift_sample: int = setting(300, "pictures of each domain that are measured, and as many arrivals", ge=16, le=1000)


@dataclass(frozen=True)
class Finding:
    """One check of one domain, or of all where none is named."""

    name: str
    domain: str
    value: float
    limit: float
    passed: bool
    sentence: str  # the result; where it did not pass, also what to do


def validate(
    config: ChecksConfig, now: Profile, before: Profile | None, card_now: Card, card_before: Card | None
) -> list[Finding]:
    """Check a dataset against the limits, and compare it with the one that `prod` was trained on.

    Args:
        now: the new dataset, profiled with `before`, so that its arrivals were measured.
        before: that of `prod`; None where there is none: checks that compare are left out then.
        card_before: that of `prod`'s dataset, None where it is not at hand.
    """
    findings = [_pictures(name, domain, config) for name, domain in sorted(now.domains.items())]
    findings += [_quarantined(card_now, card_before, config), _duplicates(card_now, config)]
    if before is None:
        return findings
    findings += [_lost(name, domain, now, config) for name, domain in sorted(before.domains.items())]
    findings += _compared(now, before, config)
    return findings


def failed_checks(findings: Sequence[Finding]) -> list[str]:
    """What stops the night, in sentences; nothing where all checks passed."""
    return [finding.sentence for finding in findings if not finding.passed]


def finding_rows(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """The findings as cells under `HEADER`, for a report."""
    return [
        (f.name, f.domain, f"{f.value:.4g}", f"{f.limit:.4g}", "passed" if f.passed else "stopped", f.sentence)
        for f in findings
    ]


def markdown(findings: Sequence[Finding]) -> str:
    """The findings as a table, those that stop the night first."""
    ordered = sorted(findings, key=lambda finding: finding.passed)
    lines = [HEADER, ("---", "---", "---:", "---:", "---", "---"), *finding_rows(ordered)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _pictures(name: str, domain: DomainProfile, config: ChecksConfig) -> Finding:
    found, least = domain.training, config.min_pictures
    words = f"{name} has {found} pictures in the training split, {least} are the least"
    do = "add pictures, or lower checks.min_pictures"
    return _finding("pictures", name, found, least, found >= least, words, do)


def _quarantined(now: Card, before: Card | None, config: ChecksConfig) -> Finding:
    files, unreadable = _counts(now)
    share, whose = _share(unreadable, files), "of all files"
    if before is not None:
        old_files, old_unreadable = _counts(before)
        if files - old_files >= FEWEST:
            arrived = _share(max(0, unreadable - old_unreadable), files - old_files)
            share, whose = max((share, whose), (arrived, "of the files that arrived"))
    limit = config.max_quarantined_share
    words = f"{share:.0%} {whose} cannot be read, at most {limit:.0%} may"
    do = "look into the dataset's quarantine.csv and mend the source, or raise checks.max_quarantined_share"
    return _finding("quarantined", "", share, limit, share <= limit, words, do)


def _duplicates(card: Card, config: ChecksConfig) -> Finding:
    screened = card.facts.get("screened", {})
    share = _share(screened.get(DUPLICATE, 0) + screened.get(NEAR, 0), _counts(card)[0])
    limit = config.max_duplicates_share
    words = f"{share:.0%} of all files are copies and stay out, at most {limit:.0%} may"
    do = "look into the dataset's screened.csv and correct the source, or raise checks.max_duplicates_share"
    return _finding("copies", "", share, limit, share <= limit, words, do)


def _lost(name: str, domain: DomainProfile, now: Profile, config: ChecksConfig) -> Finding:
    kept = now.domains[name].groups if name in now.domains else {}
    share = _share(sum(id not in kept for id in domain.groups), len(domain.groups))
    limit = config.max_lost_share
    words = f"{share:.0%} of prod's pictures of {name} are gone, at most {limit:.0%} may be"
    do = "bring them back, or, if it is meant, raise checks.max_lost_share"
    return _finding("lost", name, share, limit, share <= limit, words, do)


def _compared(now: Profile, before: Profile, config: ChecksConfig) -> Iterator[Finding]:
    """Checks of the arrivals' statistics against the pictures that `prod` was trained on."""
    both = [name for name in sorted(now.domains) if name in before.domains]
    if now.parameters != before.parameters:
        words = "the pictures were prepared with other parameters than prod's: their image statistics are not compared"
        yield Finding("drift", "", 0.0, config.drift_min, True, words)
        return
    sides = {name: _sides(now.domains[name], before.domains[name], config.drift_sample) for name in both}
    enough = [name for name in both if min(map(len, sides[name])) >= FEWEST]
    for name in both:
        new, old = sides[name]
        if name in enough:
            yield _size(name, new, old, config)
            yield _colour(name, new, old, config)
            yield _drift(name, new, old, config.drift_p / len(enough), config)  # Bonferroni
        else:
            words = f"{len(new)} parents of {name} have arrived, beside {len(old)}: too few to say what they look like"
            yield Finding("drift", name, 0.0, config.drift_min, True, words)


def _sides(now: DomainProfile, before: DomainProfile, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of arrivals and of `prod`'s pictures, one picture of each group."""
    chosen = representatives(arrivals(now.groups, before), most)
    assert all(id in now.statistics for id in chosen), "arrivals were not measured: give `before` to `profile_dataset`"
    new = [now.statistics[id] for id in chosen]
    old = [before.statistics[id] for id in representatives(before.groups, most) if id in before.statistics]
    return np.array(new, np.float64), np.array(old, np.float64)


def _size(name: str, new: np.ndarray, old: np.ndarray, config: ChecksConfig) -> Finding:
    # the logarithm of the square root of the area: half and double are as far, and orientation does not matter
    sides = [np.log(side[:, _SIZES]).mean(1, keepdims=True) for side in (new, old)]
    change, limit = math.expm1(float(_shift(*sides)[0])), config.max_size_change
    means = [math.exp(side.mean()) for side in sides]
    words = (
        f"arrivals of {name} have {means[0]:.0f} pixels a side where prod's have {means[1]:.0f}, "
        f"certainly {change:.0%} off, at most {limit:.0%} may be"
    )
    do = "look at what has arrived, or raise checks.max_size_change"
    return _finding("size", name, change, limit, change <= limit, words, do)


def _colour(name: str, new: np.ndarray, old: np.ndarray, config: ChecksConfig) -> Finding:
    columns = slice(_SIZES.stop, _FEATURES.start)
    shifts, limit = _shift(new[:, columns], old[:, columns]), config.max_colour_shift
    most = int(shifts.argmax())
    means = [side[:, columns].mean(0)[most] for side in (new, old)]
    words = (
        f"{COLOURS[most]} of {name}'s arrivals is {means[0]:.0f} where prod's pictures have {means[1]:.0f}, "
        f"certainly {shifts[most]:.0f} levels off, at most {limit:.0f} may be"
    )
    do = "look at what has arrived, or raise checks.max_colour_shift"
    value = float(shifts[most])
    return _finding("colour", name, value, limit, value <= limit, words, do)


def _drift(name: str, new: np.ndarray, old: np.ndarray, level: float, config: ChecksConfig) -> Finding:
    permutations = max(999, math.ceil(_PER_LEVEL / level))
    found = drift(new[:, _FEATURES], old[:, _FEATURES], permutations, _SEED)
    passed = found.p > level or found.distance <= config.drift_min
    words = (
        f"{len(new)} arrivals of {name} are {found.distance:.4f} from prod's {len(old)} pictures "
        f"(p {found.p:.2g}, seen as drift above {config.drift_min:g} where p is at most {level:.2g})"
    )
    do = "look at what has arrived, or, if it is meant, raise checks.drift_min"
    return _finding("drift", name, found.distance, config.drift_min, passed, words, do)


def _finding(name: str, domain: str, value: float, limit: float, passed: bool, words: str, do: str) -> Finding:
    return Finding(name, domain, value, limit, passed, words if passed else f"{words}: {do}")


def _shift(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Difference of the columns' means, less `SURE` standard errors; never below zero."""
    error = np.sqrt(new.var(0, ddof=1) / len(new) + old.var(0, ddof=1) / len(old))
    return np.asarray(np.maximum(0.0, np.abs(new.mean(0) - old.mean(0)) - SURE * error))


def _counts(card: Card) -> tuple[int, int]:
    """Files, and those of them that cannot be read; 0 where the card does not say."""
    return int(card.facts.get("files", 0)), int(card.facts.get("quarantined", 0))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
