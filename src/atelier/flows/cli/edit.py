"""The commands that edit attributes of pictures, and that teach a model which generates to do so."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from atelier.flows.cli.options import grouped
from atelier.flows.cli.output import JsonOption, WorkspaceOption, YesOption, result

commands = typer.Typer()


@dataclass(frozen=True)
class WishOptions:
    """The model, and what it changes."""

    model: Annotated[
        str, typer.Option(help="style-model@prod or a model folder: of `atelier directions`, or of method stargan.")
    ] = "style-model@prod"
    give: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME=AMOUNT",
            help="An attribute to give, like Smiling; =0.8 gives less than 1, the default, and =1.5 more. Repeatable.",
        ),
    ] = None
    take: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="NAME", help="An attribute to take away, as for --with. Repeatable."),
    ] = None
    strength: Annotated[float | None, typer.Option(help="Share of the whole change, 0 to 1.")] = None
    steps: Annotated[
        int | None, typer.Option(help="Optimisation steps in which the latents of a picture are found.")
    ] = None
    format: Annotated[str | None, typer.Option(help="keep (the default), png, jpeg, webp or avif.")] = None
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of one picture: also a PNG of it before and after.")
    ] = None


@commands.command(
    epilog="Example: atelier edit face.jpg smiling.jpg --model faces-edits --with Smiling=0.8 --without Eyeglasses"
)
@grouped
def edit(
    picture: Annotated[
        str, typer.Argument(help="A picture; or a folder, archive or list of some, as `atelier stylize` takes it.")
    ],
    out: Annotated[str, typer.Argument(help="File or folder for the edited picture; of several a folder or URL.")],
    wishes: WishOptions,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check and estimate; writes nothing.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Of several: make outputs of other edits again, instead of refusing.")
    ] = False,
    yes: YesOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give attributes to pictures, and take them away; what else they show stays.

    The same as `atelier stylize --to`, for one picture or for an archive, each picture once.
    """
    from atelier.flows.cli import stylize_job
    from atelier.tasks.bulk.request import Rerun

    to = [*(wishes.give or ()), *(f"-{name}" for name in wishes.take or ())]
    if not to:
        raise ValueError("say what to change: --with NAME or --without NAME")
    changes = {"to": to, "strength": wishes.strength, "steps": wishes.steps, "format": wishes.format}
    job = stylize_job.plan([picture], out, [wishes.model], changes, workspace, {}, Rerun(replace=replace))
    source = stylize_job.picture_of(job)
    if wishes.sheet and wishes.sheet.suffix.lower() != ".png":
        raise ValueError(f"--sheet is a PNG, not {wishes.sheet}: choose a name like before-after.png")
    if wishes.sheet and not source:
        raise ValueError(f"--sheet is of one picture, and {picture} is more: use `atelier stylize --preview 12 --to …`")
    edited = stylize_job.start(job, as_json, dry_run=dry_run, yes=yes)
    if wishes.sheet and source and edited and not dry_run:
        stylize_job.show_change(source, edited.file, wishes.sheet)


@commands.command(
    epilog="Example: atelier directions style-model@prod faces-edits --attribute Smiling --attribute Male"
)
def directions(
    model: Annotated[
        str, typer.Argument(help="style-model@prod or a model folder, of method vae, stylegan, infogan, dcgan or gan.")
    ],
    out: Annotated[Path, typer.Argument(help="The model folder to make, for `atelier edit --model`.")],
    attribute: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An attribute of the dataset's pictures, like Smiling. Repeatable."),
    ] = None,
    domain: Annotated[str, typer.Option(help="Domain of the labelled pictures; by default the model's.")] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teach a model that generates to edit attributes, from the labelled pictures of the workspace.

    A classifier of the attributes is trained, which takes minutes; then the directions are found in which the model's
    latents change one attribute and leave the others alone.
    """
    from atelier.tasks.evaluation.attribute_directions import learn_directions
    from atelier.tasks.inference.model_lookup import find_model
    from atelier.tasks.workspace.layout import Workspace

    found = find_model(model, workspace)
    home = Workspace.find(workspace)
    learned = learn_directions(
        found.folder, found.identity, home.dataset, domain, attribute or (), out.absolute(), home.evaluation_cache
    )
    result(learned, as_json, text=learned.summary)
