"""The subcommands of `atelier models` that take models from other programs, and give models to them."""

from pathlib import Path
from typing import Annotated

import typer

from atelier.flows.cli.output import JsonOption, WorkspaceOption, result

commands = typer.Typer()


@commands.command("import", epilog="Example: atelier models import latest_net_G_A.pth monet --style monet")
def models_import(
    file: Annotated[Path, typer.Argument(help="A generator saved by the reference code of CycleGAN or CUT.")],
    model: Annotated[Path, typer.Argument(help="The model folder to make.")],
    style: Annotated[str, typer.Option(help="Name of its style.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Convert a model that was trained elsewhere, for `atelier stylize … --model FOLDER`."""
    from atelier.tasks.inference.import_export import import_model

    made = import_model(file, model, style)
    result(made, as_json, text=f"{made.folder}: {made.architecture}, {made.parameters:,} parameters")


@commands.command(
    "export",
    epilog="Example: atelier models export style-model@prod monet.onnx, or atelier models export starter/monet hub "
    "--format hf",
)
def models_export(
    model: Annotated[str, typer.Argument(help="style-model@prod, style-model@v1.2.0, starter/NAME or a model folder.")],
    file: Annotated[Path, typer.Argument(help="The ONNX file to write, or the folder.")],
    format: Annotated[
        str,
        typer.Option(
            help="onnx; hf, a folder with weights, model card and ONNX for a model hub; or mlflow, a folder in "
            "MLflow's model format."
        ),
    ] = "onnx",
    direction: Annotated[str, typer.Option(help="a2b or b2a, for a model that translates both ways.")] = "a2b",
    to: Annotated[
        str | None, typer.Option(help="Attributes to add (stargan), like Blond_Hair,Young; -NAME removes one.")
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(metavar="STYLE", help="A style (cin), NAME or IMAGE, with or without =WEIGHT; repeat for a mix."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a model as ONNX, checked against ONNX Runtime: pictures (B, 3, H, W) in [-1, 1], sides multiples of 4."""
    from atelier.tasks.inference.chain import Step, controls_of
    from atelier.tasks.inference.config import StylizeConfig
    from atelier.tasks.inference.import_export import export_model
    from atelier.tasks.inference.model_lookup import find_model

    if format not in ("onnx", "hf", "mlflow"):
        raise ValueError(f"--format is onnx, hf or mlflow, not {format!r}")
    if direction not in ("a2b", "b2a"):
        raise ValueError(f"--direction is a2b or b2a, not {direction!r}")
    found = find_model(model, workspace)
    asked = StylizeConfig(
        direction=direction,  # type: ignore[arg-type]  # checked above
        to=tuple(to.split(",")) if to else (),
        styles=tuple(style or ()),
    )
    (controls,) = controls_of([Step(found.folder, found.identity, asked)], Path.cwd())
    if format == "hf":
        from atelier.tasks.inference.folder_export import export_folder

        folder = export_folder(found.folder, file, found.label, found.metrics(workspace), controls)
        result(folder, as_json, text=folder.summary)
        return
    if format == "mlflow":
        from atelier.tasks.inference.mlflow_export import export_mlflow

        folder = export_mlflow(found.folder, file, controls)
        result(folder, as_json, text=folder.summary)
        return
    made = export_model(found.folder, file, controls)
    text = (
        f"{made.file}: {made.megabytes} MB; differs from the model by at most {made.largest_difference:.1e} of a colour"
    )
    result(made, as_json, text=text)
