"""The subcommands about the dataset and its versions."""

from pathlib import Path
from typing import Annotated

import typer

from atelier.flows.cli.output import JsonOption, WorkspaceOption, result
from atelier.flows.cli.table import table
from atelier.tasks.workspace.layout import Workspace

commands = typer.Typer(help="Versions of the dataset.", no_args_is_help=True)

OutOption = Annotated[Path | None, typer.Option("--out", help="The PNG to write; by default in reports/.")]
_NAMES = "now, the beginning of a dataset's id, or a model version like v1.2.0, prod or style-model-STYLE@prod."


@commands.command("list", epilog="Example: atelier datasets list --json")
def datasets_list(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the versions of the dataset: those that models were trained on, and the present one."""
    from atelier.tasks.registry.dataset_versions import list_datasets
    from atelier.tasks.registry.dvc_objects import open_objects

    found = Workspace.find(workspace)
    with open_objects(found) as kept:
        versions = list_datasets(found, kept)
    rows = []
    for one in versions:
        counts = ", ".join(f"{domain} {s['train']}+{s['holdout']}" for domain, s in one.rows.items())
        facts = (one.id[:12], one.date[:10], "now" if one.now else "", f"{one.bytes / 1e6:.1f} MB")
        rows.append((*facts, one.problem or counts, ", ".join(one.models) or "none yet"))
    head = ("dataset", "date", "", "size", "pictures (training+held out)", "models")
    text = table(head, rows) if rows else "there is no dataset yet: run `atelier ingest`"
    result(versions, as_json, text=text)


@commands.command("show", epilog="Example: atelier datasets show prod")
def datasets_show(
    dataset: Annotated[str, typer.Argument(help=_NAMES)] = "now",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a version of the dataset: its domains, the pictures in each split, and its parameters."""
    from atelier.tasks.evaluation.metric_catalogue import flat
    from atelier.tasks.registry.dataset_versions import find_dataset, read_version_card
    from atelier.tasks.registry.dvc_objects import open_objects

    found = Workspace.find(workspace)
    with open_objects(found) as kept:
        one = find_dataset(found, kept, dataset)
        card = read_version_card(found, kept, one)
    lines = [f"dataset {one.id[:12]}, {card.rows()} pictures, {one.bytes / 1e6:.1f} MB, {one.date}"]
    lines += [f"  {d:<12} {c['train']:>8} to train on, {c['holdout']:>6} held out" for d, c in one.rows.items()]
    lines += [f"  trained on it: {', '.join(one.models) or 'no model yet'}"]
    lines += [f"  {name}: {value}" for name, value in flat(card.facts.get("parameters", {})).items()]
    content = {
        "id": one.id, "date": one.date, "now": one.now, "rows": card.rows(), "bytes": one.bytes,
        "domains": one.rows, "models": one.models, "facts": card.facts,
    }  # fmt: skip
    result(content, as_json, text="\n".join(lines))


@commands.command("diff", epilog="Example: atelier datasets diff prod now")
def datasets_diff(
    before: Annotated[str, typer.Argument(help=_NAMES)],
    after: Annotated[str, typer.Argument(help="The same.")],
    out: OutOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions of the dataset: pictures added and removed, with examples, and changed parameters."""
    from atelier.tasks.registry.dataset_diff import diff_datasets
    from atelier.tasks.registry.dataset_versions import find_dataset
    from atelier.tasks.registry.dvc_objects import open_objects

    found = Workspace.find(workspace)
    with open_objects(found) as kept:
        old, new = (find_dataset(found, kept, name) for name in (before, after))
        sheet = out or found.reports / "datasets" / f"{old.id[:12]}-{new.id[:12]}.png"
        made = diff_datasets(found, kept, old, new, sheet)
    result(made, as_json, text=made.summary)
