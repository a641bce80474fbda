"""The options of `atelier stylize` about the model, and how it paints."""

from dataclasses import dataclass
from typing import Annotated

import typer

from atelier.flows.cli.completion import complete_model

DEFAULT_MODEL = "style-model@prod"


@dataclass(frozen=True)
class PaintingOptions:
    """The model, and how it paints."""

    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help=f"{DEFAULT_MODEL} (the default), style-model@v1.2.0, style-model-STYLE@prod, starter/NAME or a "
            "folder, with controls of its own after commas, like starter/monet,strength=0.5. Repeatable: each paints "
            "what the one before it made; with --preview, a column for each.",
            autocompletion=complete_model,
        ),
    ] = None
    strength: Annotated[
        str | None,
        typer.Option(help="0 leaves pictures as they are, 1 is the full style; with --preview several, like 0.5,1."),
    ] = None
    direction: Annotated[str | None, typer.Option(help="a2b or b2a, for a model that translates both ways.")] = None
    to: Annotated[
        str | None,
        typer.Option(help="Attributes to add, like Blond_Hair,Young=0.5; -NAME removes one (stargan, edit)."),
    ] = None
    styles: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            metavar="STYLE",
            help="NAME or IMAGE as the style, with =WEIGHT; with --mask-from IMAGE@LABEL. Repeatable: a mix.",
        ),
    ] = None
    masks: Annotated[
        list[str] | None,
        typer.Option("--mask", metavar="IMAGE", help="For each --style a picture that is white where it is used."),
    ] = None
    mask_from: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Label pictures that mirror the inputs, grey or palette PNGs, or one PNG for all: IMAGE@2 is used "
            "where they are 2; a model that fills holes, like starter/inpaint, removes what is where they are not 0.",
        ),
    ] = None
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove",
            "--remove-box",
            metavar="WHAT",
            help="faces or text, which is found in each picture; or a box X,Y,W,H in every picture, in pixels or "
            "percent: -210,-60,200,50 counts from the right and from below. Repeatable; for models that fill holes.",
        ),
    ] = None
    insert: Annotated[
        str | None,
        typer.Option(
            metavar="OBJECT",
            help="An object to add to every picture: a PNG that is transparent around it; for models that fill holes.",
        ),
    ] = None
    at: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y",
            help="Where the middle of the object of --insert is, in pixels or percent, as for --remove-box; 50%,50% by "
            "default.",
        ),
    ] = None
    scale: Annotated[
        str | None,
        typer.Option(help="Factor on the object's own size, like 0.5, or its width in percent of the picture's: 20%."),
    ] = None
    keep_from: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Pictures that mirror the inputs, grey PNGs: inputs stay where they are not 0, as on a logo.",
        ),
    ] = None
    regions: Annotated[
        str | None,
        typer.Option(help="auto: each region of a picture gets the style of the nearest region of the style pictures."),
    ] = None
    preserve_color: Annotated[
        bool | None, typer.Option("--preserve-color", help="Keep the colours of the pictures.")
    ] = None
    palette: Annotated[
        str | None,
        typer.Option(help="A picture, or a folder of pictures, near whose colours those of the outputs stay."),
    ] = None
    style_weight: Annotated[float | None, typer.Option(help="Multiple of the usual style weight (gatys).")] = None
    noise: Annotated[
        float | None,
        typer.Option(
            metavar="SIGMA",
            help="Noise of the pictures, its standard deviation in 8-bit values; else the model sees for itself "
            "(restore).",
        ),
    ] = None
    steps: Annotated[int | None, typer.Option(help="Optimisation steps of each picture (gatys, edit).")] = None
    stroke: Annotated[
        str | None,
        typer.Option(
            help="Breadth of the strokes: 1 (the default) as on a picture of 640 px, 2 twice as broad, 0.5 half as "
            "broad; or full, to paint at full size."
        ),
    ] = None
