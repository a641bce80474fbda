"""The flow `generate`: pictures from noise."""

from pathlib import Path

from atelier.tasks.inference.config import GenerateConfig
from atelier.tasks.inference.generate import GenerateSummary, check_destination, check_request
from atelier.tasks.inference.model_lookup import find_model


def run(
    destination: Path,
    model: str,
    config: GenerateConfig,
    workspace: Path | None,
    *,
    quiet: bool,
) -> GenerateSummary:
    """Find the model, as `model_lookup.find_model` does, and make the pictures in a Prefect flow.

    `quiet` shows no progress.

    Raises:
        FileNotFoundError, ValueError: a name is wrong, and nothing was started; the message is one line.
    """
    from atelier.flows.runs.services import services

    found = find_model(model, workspace)
    request, folder = check_request(config, found.folder, found.identity), destination.absolute()
    check_destination(folder)
    with services(None, "generate"):
        from prefect import flow

        from atelier.flows.runs.orphans import end_orphans, tag_with_process
        from atelier.flows.runs.prefect_artifacts import picture_artifact
        from atelier.flows.runs.progress import show_progress
        from atelier.tasks.inference.generate import generate
        from atelier.tasks.runtime import cluster

        @flow(name="generate", flow_run_name=f"generate {folder.name}", validate_parameters=False)
        def generate_flow() -> GenerateSummary:
            tag_with_process()
            with show_progress("generate", quiet=quiet) as report:
                summary = generate(request, folder, report, connect=cluster.connect)
            picture_artifact(folder, "generated", summary.grid, f"{found.identity.label}, seed {config.seed}")
            return summary

        end_orphans()
        return generate_flow()


def describe(summary: GenerateSummary) -> str:
    """The result of a job, in a few lines."""
    made = f"{summary.made} made in {summary.seconds:.1f} s" if summary.made else "nothing was left to make"
    lines = [f"{summary.count} pictures in {summary.grid.parent}, {made}", f"all of them: {summary.grid}"]
    if summary.strips:
        lines.append(f"from one to another: {summary.strips}")
    if summary.film:
        lines.append(f"the same as a film: {summary.film}")
    if summary.mixing:
        lines.append(f"styles of some in others: {summary.mixing}")
    if summary.traversals:
        lines.append(f"what the codes mean: {summary.traversals}")
    if summary.reconstructions:
        lines.append(f"pictures and what is made of them: {summary.reconstructions}")
    return "\n".join(lines)
