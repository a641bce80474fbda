import pytest

from atelier.flows.runs.progress import ProgressRate, show_progress
from atelier.tasks.runtime.progress import Progress


def test_pace_tells_count_rate_and_time_left() -> None:
    pace = ProgressRate()
    pace.observe(10.0, 100, 400)
    pace.observe(20.0, 120, 480)
    text = pace.describe(Progress("train", 120, 300, "steps", note="style 0.5", images=480))
    assert text == "120/300 steps · 8.0 images/s · 1:30 left · style 0.5"


def test_pace_forgets_what_lies_more_than_half_a_minute_back() -> None:
    pace = ProgressRate()
    for second, done in [(0.0, 0), (60.0, 60), (61.0, 70), (62.0, 80)]:
        pace.observe(second, done, 0)
    assert "10.0 images/s" in pace.describe(Progress("stylize", 80, 80, "images"))


def test_pace_of_a_single_observation_promises_nothing() -> None:
    pace = ProgressRate()
    pace.observe(0.0, 5, 5)
    assert pace.describe(Progress("ingest", 5, 10, "images")) == "5/10 images"


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("ingest") as report:
        report(Progress("ingest", 1, 2, "images"))
        report(Progress("ingest", 2, 2, "images"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("ingest    1/2 images")
    assert lines[-1].startswith("ingest    2/2 images")


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("ingest", quiet=True) as report:
        report(Progress("ingest", 2, 2, "images"))
    assert capsys.readouterr().err == ""
