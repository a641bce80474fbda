"""Flow runs that go on: what each said last, and when. A run that is stalled says what it waits for."""

from dataclasses import dataclass
from datetime import datetime

from atelier.flows.control_plane.prefect_server import ask

STALE_S = 30.0  # without a word, from which on the age of the last one is shown
_ASK_S = 2.0


@dataclass(frozen=True)
class Running:
    """A flow run that goes on."""

    name: str
    progress: str  # what it said last, and what it waits for where nothing finishes
    silent_s: float  # seconds since then

    @property
    def summary(self) -> str:
        """The run in a line."""
        return f"{self.name}: {self.progress}" + (f" ({self.silent_s:.0f} s ago)" if self.silent_s > STALE_S else "")


def running_flows(url: str | None) -> tuple[Running, ...]:
    """Flow runs that go on and report their progress."""
    if url is None:
        return ()
    state = {"state": {"type": {"any_": ["RUNNING"]}}}
    names = {run["id"]: run["name"] for run in ask(url, "/flow_runs/filter", {"flow_runs": state}, timeout_s=_ASK_S)}
    query = {"artifacts": {"type": {"any_": ["progress"]}}, "flow_runs": state, "sort": "UPDATED_DESC"}
    latest: dict[str, Running] = {}
    for found in ask(url, "/artifacts/filter", query, timeout_s=_ASK_S):
        if (run := found["flow_run_id"]) in names and run not in latest:
            age = (datetime.now().astimezone() - datetime.fromisoformat(found["updated"])).total_seconds()
            latest[run] = Running(names[run], found["description"] or "", round(max(0.0, age), 1))
    return tuple(latest.values())
