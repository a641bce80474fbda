"""The command that makes pictures from noise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from atelier.flows.cli.options import grouped
from atelier.flows.cli.output import JsonOption, WorkspaceOption, result

commands = typer.Typer()


@dataclass(frozen=True)
class DrawnOptions:
    """The model, and what pictures are made from."""

    model: Annotated[
        str, typer.Option(help="style-model@prod, style-model@v1.2.0 or a model folder, of a method that generates.")
    ] = "style-model@prod"
    count: Annotated[int, typer.Option(help="Number of pictures.")] = 64
    characters: Annotated[
        int, typer.Option(help="Number of characters, in place of --count: with a row for each on the sheet.")
    ] = 0
    consistent: Annotated[
        bool, typer.Option("--consistent", help="Six pictures of each character, in other poses, instead of one.")
    ] = False
    seed: Annotated[int, typer.Option(help="Seed; a picture is a function of the seed and its number.")] = 0
    truncation: Annotated[
        float | None,
        typer.Option(
            help="Smaller is safer and less varied: noise is drawn within ± this; with stylegan, where 1 changes "
            "nothing, it is the share of a picture's way from the mean picture."
        ),
    ] = None
    interpolate: Annotated[
        int, typer.Option(help="Number of pictures on the way from each picture to the next, in a strip.")
    ] = 0
    video: Annotated[bool, typer.Option("--video", help="Also a film through these, as an animated WebP.")] = False
    mix: Annotated[
        int, typer.Option(help="A sheet of so many pictures with the styles of as many others (stylegan).")
    ] = 0
    code: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE=VALUE",
            help="A code of all pictures, like 0=3 (infogan, stylegan): a category from 0, or a number from -2 to 2. "
            "Repeatable.",
        ),
    ] = None
    like: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Pictures like this one: the first is as near to it as the model comes."),
    ] = None
    reconstruct: Annotated[
        list[Path] | None,
        typer.Option(metavar="PICTURE", help="Also a sheet of this picture and what is made of it (vae). Repeatable."),
    ] = None


@commands.command(
    epilog="Example: atelier generate faces --model style-model@prod --count 64 --seed 0 --truncation 0.8 "
    "--interpolate 8"
)
@grouped
def generate(
    destination: Annotated[Path, typer.Argument(help="Folder for the pictures; existing ones are kept.")],
    drawn: DrawnOptions,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make pictures from noise, with a model of method gan, dcgan, infogan, vae or stylegan."""
    from atelier.flows import generate as flow
    from atelier.tasks.inference.config import MOST_GENERATED, GenerateConfig
    from atelier.tasks.inference.generate import POSES

    poses = POSES if drawn.consistent else 1
    if drawn.consistent and not drawn.characters:
        raise ValueError("--consistent makes several pictures of each character: say with --characters of how many")
    if not 0 <= drawn.characters <= MOST_GENERATED // poses:
        each = f", with {poses} pictures each" if poses > 1 else ""
        most = f"{MOST_GENERATED // poses:,}"
        raise ValueError(f"--characters must be between 1 and {most}{each}, not {drawn.characters:,}")
    config = GenerateConfig(
        poses * drawn.characters or drawn.count,
        drawn.seed,
        drawn.truncation,
        drawn.interpolate,
        drawn.video,
        drawn.mix,
        tuple(map(_code, drawn.code or ())),
        tuple(path.absolute() for path in drawn.reconstruct or ()),
        poses,
        drawn.like.absolute() if drawn.like else None,
    )
    summary = flow.run(destination, drawn.model, config, workspace, quiet=as_json)
    result(summary, as_json, text=flow.describe(summary))


def _code(text: str) -> tuple[int, float]:
    """A code and its value, from CODE=VALUE. Raises ValueError where it is neither."""
    number, _, value = text.partition("=")
    try:
        return int(number), float(value)
    except ValueError:
        raise ValueError(f"--code {text!r} is not CODE=VALUE, such as 0=3 or 1=-1.5") from None
