"""The flow `generate`: pictures from noise."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atelier.models.card import ModelIdentity
from atelier.tasks.inference.generate import GenerateConfig, GenerateSummary, check_generates
from atelier.tasks.inference.model_lookup import find_model


@dataclass(frozen=True)
class GenerateJob:
    """One destination, one model."""

    destination: Path
    model: Path  # the model's folder
    identity: ModelIdentity
    config: GenerateConfig


def plan(destination: Path, model: str, config: GenerateConfig, workspace: Path | None) -> GenerateJob:
    """Find the model before anything starts, and check that it makes pictures from noise.

    Args:
        destination: folder of the pictures.
        model: name or folder, as `model_lookup.find_model` reads it.
        config: how many pictures, and from what noise.
        workspace: where to look for a workspace; None means from the current folder upwards.

    Raises:
        FileNotFoundError, ValueError: a name is wrong; the message is one line.
    """
    found = find_model(model, workspace)
    identity = found.identity
    check_generates(identity)
    return GenerateJob(destination.absolute(), found.folder, identity, config)


def run(job: GenerateJob, *, say: Callable[[str], None], quiet: bool = False) -> GenerateSummary:
    """Run a job as a Prefect flow.

    Args:
        job: from `plan`.
        say: gets lines about the control plane that is used.
        quiet: show no progress.
    """
    from atelier.flows.control_plane.session import use

    with use(say):
        from prefect import flow

        from atelier.flows.runs.orphans import end_orphans, tag_with_process
        from atelier.flows.runs.prefect_artifacts import picture_artifact
        from atelier.flows.runs.progress import show_progress
        from atelier.tasks.inference.generate import generate
        from atelier.tasks.runtime import cluster

        @flow(name="generate", flow_run_name=f"generate {job.destination.name}", validate_parameters=False)
        def generate_flow() -> GenerateSummary:
            tag_with_process()
            with show_progress("generate", quiet=quiet) as report:
                summary = generate(
                    job.config, job.destination, job.model, job.identity, report, connect=cluster.connect
                )
            picture_artifact("generated", summary.grid, f"{job.identity.label}, seed {job.config.seed}")
            return summary

        end_orphans()
        return generate_flow()


def describe(summary: GenerateSummary) -> str:
    """The result of a job, in a few lines."""
    made = f"{summary.made} made in {summary.seconds:.1f} s" if summary.made else "nothing was left to make"
    lines = [f"{summary.count} pictures in {summary.grid.parent}, {made}", f"all of them: {summary.grid}"]
    if summary.strips:
        lines.append(f"from one to another: {summary.strips}")
    return "\n".join(lines)
