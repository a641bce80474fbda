"""Generate: pictures from noise, by a model that learned to make them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atelier.models.card import ModelIdentity
from atelier.tasks.inference.generate import GenerateConfig, GenerateSummary, check_generates
from atelier.tasks.inference.model_lookup import find_model


@dataclass(frozen=True)
class Job:
    """One destination, one model."""

    destination: Path
    model: Path  # the model's folder
    identity: ModelIdentity
    config: GenerateConfig


def plan(destination: Path, model: str, config: GenerateConfig, workspace: Path | None) -> Job:
    """Find the model before anything is started, and see that it generates.

    Args:
        destination: folder of the pictures.
        model: as `model_names.find` reads it.
        config: what to generate.
        workspace: where to look for a workspace; None means from the current folder upwards.

    Raises:
        FileNotFoundError, ValueError: one line for a person.
    """
    found = find_model(model, workspace)
    identity = found.identity
    check_generates(identity)
    return Job(destination.absolute(), found.folder, identity, config)


def run(job: Job, *, say: Callable[[str], None], quiet: bool = False) -> GenerateSummary:
    """Run a job as a Prefect flow, on what is up or on a control plane of its own.

    Args:
        job: from `plan`.
        say: told in a sentence what is used.
        quiet: show no progress.
    """
    from atelier.flows.control_plane.plane import use

    with use(say=say):
        from prefect import flow

        from atelier.flows.runs.artifacts import picture_artifact
        from atelier.flows.runs.orphans import claim, reap
        from atelier.flows.runs.progress import shown
        from atelier.tasks.inference.generate import generate
        from atelier.tasks.runtime import cluster

        @flow(name="generate", flow_run_name=f"generate {job.destination.name}", validate_parameters=False)
        def generate_flow() -> GenerateSummary:
            claim()
            with shown("generate", quiet=quiet) as report:
                summary = generate(
                    job.config, job.destination, job.model, job.identity, report, connect=cluster.connect
                )
            picture_artifact("generated", summary.grid, f"{job.identity.label}, seed {job.config.seed}")
            return summary

        reap()
        return generate_flow()


def story(summary: GenerateSummary) -> str:
    """What a person wants to know at the end."""
    made = f"{summary.made} made in {summary.seconds:.1f} s" if summary.made else "nothing was left to make"
    lines = [f"{summary.count} pictures in {summary.grid.parent}, {made}", f"all of them: {summary.grid}"]
    if summary.strips:
        lines.append(f"from one to another: {summary.strips}")
    return "\n".join(lines)
