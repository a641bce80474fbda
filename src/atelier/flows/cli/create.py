"""The subcommand `init`, which makes a workspace."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from atelier.flows.cli.options import SetOption, change_parameters
from atelier.flows.cli.output import JsonOption, result

commands = typer.Typer()


class Start(StrEnum):
    """What a new workspace begins with."""

    demo = "demo"
    folders = "folders"


@commands.command(epilog="Example: atelier init my-style --content ~/photos --style ~/paintings")
def init(
    directory: Annotated[Path, typer.Argument(help="The folder to make.")],
    start: Annotated[
        Start, typer.Option("--from", help="demo: the embedded pictures; folders: your own, see --content and --style.")
    ] = Start.folders,
    content: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Source of pictures to restyle: folder, zip, tar, list file. Repeatable."),
    ] = None,
    style: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE", help="Source of pictures in the style. Repeatable.")
    ] = None,
    brand: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Folder of 3 to 10 pictures in the style, instead of --style.")
    ] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace: git, DVC, params.yaml and the pipeline."""
    from atelier.flows.config.defaults import brand_notes, brand_params, check_same_sources, demo_params, folder_params
    from atelier.flows.config.params import Params
    from atelier.flows.runs.terminal import say
    from atelier.tasks.dataset.held_out import few_expected
    from atelier.tasks.workspace.create import init as make

    if start is Start.demo:
        if content or style or brand:
            raise ValueError("--from demo brings its own pictures: leave out --content, --style and --brand")
        text = demo_params()
    elif brand:
        if style:
            raise ValueError("--brand is a style of few pictures, --style one of many: give one of them")
        text = brand_params(brand, tuple(content or ("sample://photos",)), base=Path.cwd())
    else:
        if not content or not style:
            raise ValueError("name --content and --style, or --brand, or use --from demo for the embedded pictures")
        text = folder_params(tuple(content), tuple(style), base=Path.cwd())
    workspace, made = make(directory, text)
    if not made:
        check_same_sources(workspace.params, text)
    change_parameters(workspace, changes)
    facts = {"workspace": str(workspace.root), "parameters": str(workspace.params), "made": made}
    text = f"{'made' if made else 'kept'} the workspace {workspace.root}; its parameters: {workspace.params}"
    if made:
        text += f"\nnext: cd {directory} && atelier retrain"
    result(facts, as_json, text=text)
    if made and start is Start.folders:
        expected = few_expected(Params(workspace.params).ingest, workspace.root)
        for note in brand_notes(brand, Path.cwd()) if brand else expected:
            say(note)
