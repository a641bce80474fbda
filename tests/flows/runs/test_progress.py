import io
import itertools
import random
import re
from collections.abc import Iterator

import pytest
import rich
from rich.console import Console

from atelier.flows.runs.progress import NO_PROMISE_S, ProgressRate, show_progress
from atelier.flows.runs.terminal import say
from atelier.tasks.runtime.progress import RECORDS, Progress, read_record


@pytest.fixture(autouse=True)
def own_console() -> Iterator[None]:
    yield
    rich.reconfigure()


def steps(done: int, total: int, images: int = 0) -> Progress:
    return Progress("train", done, total, "steps", images=images)


def test_pace_tells_count_rate_and_time_left() -> None:
    pace = ProgressRate()
    pace.observe(0.0, steps(98, 300, 392))  # a start-up of ten seconds for two steps
    pace.observe(10.0, steps(100, 300, 400))
    pace.observe(20.0, steps(120, 300, 480))
    text = pace.describe(Progress("train", 120, 300, "steps", note="style 0.5", images=480))
    assert text == "120/300 steps · 8.0 images/s · 1:30 left · style 0.5"


def test_pace_forgets_what_lies_more_than_half_a_minute_back() -> None:
    pace = ProgressRate()
    for second, done in [(0.0, 0), (1.0, 1), (60.0, 60), (61.0, 70), (62.0, 80)]:
        pace.observe(second, Progress("stylize", done, 80, "images"))
    assert "10.0 images/s" in pace.describe(Progress("stylize", 80, 80, "images"))


def test_the_start_up_and_a_moment_promise_nothing() -> None:
    pace = ProgressRate()
    for second, done in [(0.0, 0), (150.0, 5), (150.1, 6)]:
        pace.observe(second, Progress("ingest", done, 10, "images", images=done))
    assert pace.describe(Progress("ingest", 6, 10, "images")) == "6/10 images"


def test_a_single_slow_unit_of_many_promises_nothing() -> None:
    pace = ProgressRate()
    for second, done in [(0.0, 0), (1.0, 1), (9.0, 2)]:
        pace.observe(second, Progress("ingest", done, 6400, "images"))
    assert "left" not in pace.describe(Progress("ingest", 2, 6400, "images"))
    pace.observe(11.0, Progress("ingest", 40, 6400, "images"))
    assert "left" in pace.describe(Progress("ingest", 40, 6400, "images"))


def test_the_time_left_waits_and_is_smooth() -> None:
    """An uneven pace of 4 steps a second: nothing is promised at first, and no promise jumps by a quarter."""
    pace, draw, now, left = ProgressRate(), random.Random(0), 0.0, list[tuple[float, int]]()
    for done in range(1, 1200):
        now += 0.25 * draw.choice((0.2, 0.5, 1.0, 2.3))
        pace.observe(now, steps(done, 1200))
        if found := re.search(r"(\d+):(\d\d) left", pace.describe(steps(done, 1200))):
            left.append((now, 60 * int(found[1]) + int(found[2])))
    assert left[0][0] >= NO_PROMISE_S
    ends = [at + seconds for at, seconds in left if at > 10]
    jumps = [abs(after - before) for before, after in itertools.pairwise(ends)]
    assert max(jumps) < 0.03 * now
    assert max(abs(end - now) for end in ends) < 0.25 * now


def test_another_count_begins_anew() -> None:
    pace = ProgressRate()
    for second, done in [(0.0, 0), (10.0, 100), (10.5, 1)]:
        pace.observe(second, steps(done, 100))
    assert pace.describe(steps(1, 100)) == "1/100 steps"


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("ingest") as report:
        report(Progress("ingest", 1, 2, "images"))
        report(Progress("ingest", 2, 2, "images"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("ingest    1/2 images")
    assert lines[-1].startswith("ingest    2/2 images")


@pytest.mark.parametrize("last", [Progress("ingest", 2, 2, "images"), Progress("ingest", 0, 0, "unchanged")])
def test_a_terminal_keeps_the_last_state(monkeypatch: pytest.MonkeyPatch, last: Progress) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=screen, force_terminal=True, width=100, stderr=True))
    with show_progress("ingest") as report:
        report(last)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).replace("\r", "\n").strip().splitlines()
    assert shown[-1].split() == ["ingest", *(["━" * 40, "2/2", "images"] if last.total else ["unchanged"])]


def test_a_child_passes_its_progress_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sent = Progress("train", 3, 9, "steps", "style 0.5", 12)
    monkeypatch.setenv(RECORDS, "1")
    with show_progress("train") as report:
        report(sent)
    shown = capsys.readouterr()
    assert read_record(shown.out) == sent
    say("few pictures")
    assert read_record(capsys.readouterr().out) == "few pictures"
    assert shown.err == ""
    assert read_record("\x1enonsense") is read_record('{"stage": "train"}') is None


@pytest.mark.parametrize("verbosity", ["normal", "quiet"])
def test_quiet_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verbosity: str
) -> None:
    monkeypatch.setenv("ATELIER_VERBOSITY", verbosity)
    with show_progress("ingest", quiet=verbosity == "normal") as report:
        report(Progress("ingest", 2, 2, "images"))
    assert capsys.readouterr().err == ""
