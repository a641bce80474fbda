"""The subcommands that use a model, and `inspect`, which reads the origin of their outputs."""

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from atelier.flows.cli.options import SetOption, change_parameters, grouped
from atelier.flows.cli.output import JsonOption, WorkspaceOption, YesOption, result, write_sheet
from atelier.flows.cli.painting_options import PaintingOptions
from atelier.tasks.workspace.layout import Workspace

commands = typer.Typer()

PathsArgument = Annotated[
    list[str],
    typer.Argument(
        help="The sources, then DEST. Sources: folders, zips, tars (.gz, .zst) or lists (.txt, .lst, .parquet with a "
        "column path), local or at s3:// URLs; or one picture. DEST: folder or s3:// URL for the restyled pictures, "
        "which keep the source's paths; several sources get a folder each. For one picture also a file.",
    ),
]


@dataclass(frozen=True)
class OutputOptions:
    """The outputs, and where they are computed."""

    format: Annotated[
        str | None,
        typer.Option(
            help="keep (the default: the format of the input, with its depth, transparency, pages and frames), png, "
            "jpeg, webp or avif. A jpeg has white for transparency, and the first frame; only TIFF has pages."
        ),
    ] = None
    quality: Annotated[int | None, typer.Option(help="1 to 100, of JPEG, WebP and AVIF; 95 by default.")] = None
    size: Annotated[
        int | None, typer.Option(help="Longest side of the outputs, in px; smaller pictures stay as they are.")
    ] = None
    metadata: Annotated[
        str | None,
        typer.Option(help="keep (the default) EXIF with GPS, resolution and comments of the pictures, or strip them."),
    ] = None
    codec: Annotated[str | None, typer.Option(help="Of videos: av1 (the default), vp9 or h264.")] = None
    steadiness: Annotated[
        float | None,
        typer.Option(help="Of videos, 0 to 1: how much neighbours count in each frame, moved along the motion; 1."),
    ] = None
    salvage: Annotated[
        bool | None,
        typer.Option("--salvage", help="Keep the readable frames and pages of damaged files, instead of none."),
    ] = None
    backend: Annotated[
        str | None, typer.Option(help="torch, openvino, or auto: the fastest by measurement, for large jobs.")
    ] = None
    precision: Annotated[str | None, typer.Option(help="float32, bfloat16, or auto as for --backend.")] = None
    device: Annotated[str | None, typer.Option(help="cpu, gpu, or auto: GPUs if the cluster has any.")] = None
    show_regions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --regions, of one picture: a PNG that shows the regions.")
    ] = None
    stages: Annotated[
        str | None,
        typer.Option(help="Decode, paint and encode together in a worker, apart on suitable machines, or auto."),
    ] = None


@dataclass(frozen=True)
class SelectionOptions:
    """Which pictures of the sources are taken."""

    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only paths that match this glob; * crosses folders. Repeatable."),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="No paths that match this glob; the totals leave them out. Repeatable."),
    ] = None
    limit: Annotated[
        int | None, typer.Option(help="Only the first N pictures; a run without it continues the same job.")
    ] = None
    follow_links: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="Follow links whose targets lie below this folder. Repeatable."),
    ] = None
    list_root: Annotated[
        str | None, typer.Option(help="Folder or URL of a list's entries; by default the list's own folder.")
    ] = None
    schemes: Annotated[
        list[str] | None,
        typer.Option("--allow-scheme", metavar="SCHEME", help="A URL scheme that lists may use, like s3. Repeatable."),
    ] = None
    max_members: Annotated[int | None, typer.Option(help="Refuse archives and lists with more files.")] = None
    max_ratio: Annotated[
        float | None, typer.Option(help="Refuse archives above 1 GiB that unpack to more than this multiple.")
    ] = None


@dataclass(frozen=True)
class RerunOptions:
    """What a run does with the results of earlier runs, when it fails, and what is done instead of a run."""

    max_quarantine: Annotated[
        str, typer.Option(help="Fail when more inputs are quarantined: a count like 100, a share like 0.05 or 5%.")
    ] = ""
    retry_quarantined: Annotated[bool, typer.Option("--retry-quarantined", help="Try quarantined inputs again.")] = (
        False
    )
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Delete outputs of another model or other parameters, and make them again."),
    ] = False
    yes: YesOption = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only estimate work, time and size from a sample; writes nothing.")
    ] = False
    preview: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Only paint N pictures from all parts, small, for a page and a contact sheet in --preview-to; without "
            "DEST, or beside it.",
        ),
    ] = None
    chain: Annotated[
        bool, typer.Option("--chain", help="With --preview, several --model paint one after another, as without it.")
    ] = False
    preview_to: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder of --preview.")] = Path("preview")
    every: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Look for new pictures again and again, like 30s, 1m or 2h, until Ctrl-C."),
    ] = None


@commands.command(
    epilog="Example: atelier stylize ~/archive more.zip s3://bucket/out --exclude 'drafts/*' --max-quarantine 1%, "
    "or atelier stylize photo.jpg painted.jpg --model starter/monet, or atelier stylize film.mp4 painted, or one model "
    "after another: atelier stylize "
    "photo.jpg painted.jpg --model starter/denoise,strength=0.5 --model starter/monet"
)
@grouped
def stylize(
    paths: PathsArgument,
    painting: PaintingOptions,
    output: OutputOptions,
    selection: SelectionOptions,
    rerun: RerunOptions,
    workspace: WorkspaceOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restyle an archive, or one picture. Every picture is done once; a run that stopped is continued.

    Pictures that cannot be read are listed in quarantine. A second run of a finished job changes nothing.
    """
    from atelier.flows.cli import stylize_job
    from atelier.tasks.bulk.request import Rerun

    if settings:
        change_parameters(Workspace.find(workspace), settings)
    chosen = asdict(painting) | asdict(output)
    models, strengths = chosen.pop("models") or [], (chosen.pop("strength") or "").split(",")
    chains = [[model] for model in models] if rerun.preview and models and not rerun.chain else [models]
    sheet, to = chosen.pop("show_regions"), painting.to
    execution = {name: chosen.pop(name) for name in ("backend", "precision", "device")}
    video = {name: chosen.pop(name) for name in ("codec", "steadiness")}
    insert = {"object": chosen.pop("insert"), "at": chosen.pop("at"), "scale": chosen.pop("scale")}
    changes = chosen | {"to": to.split(",") if to else None, "execution": execution, "insert": insert, "video": video}
    again = Rerun(rerun.retry_quarantined, rerun.max_quarantine, rerun.replace)
    sources, destination = stylize_job.sources_and_destination(paths, needed=not rerun.preview)
    changed = [changes | {"strength": strength or None} for strength in strengths]
    jobs = [
        stylize_job.plan(sources, destination, chain, change, workspace, asdict(selection), again)
        for chain in chains
        for change in changed
    ]
    stylize_job.check_sources(jobs[0], may_be_empty=bool(rerun.every))
    if rerun.preview:
        stylize_job.show_preview(jobs, rerun.preview, rerun.preview_to, as_json)
        return
    if len(jobs) > 1:
        raise ValueError("several strengths are for --preview N: name one")
    job = jobs[0]
    if rerun.every:
        stylize_job.watch(job, rerun.every, as_json)
        return
    if sheet:
        stylize_job.show_regions(job, sheet)
    stylize_job.start(job, as_json, dry_run=rerun.dry_run, yes=rerun.yes)


@commands.command(epilog="Example: atelier retry ~/restyled")
def retry(
    destination: Annotated[str, typer.Argument(help="Folder or URL of a bulk job.")], as_json: JsonOption = False
) -> None:
    """Continue a bulk job as it was begun, and try its quarantined pictures again."""
    from atelier.flows.cli import stylize_job
    from atelier.tasks.bulk.request import Rerun, read_request
    from atelier.tasks.storage.location import absolute

    stylize_job.run(replace(read_request(absolute(destination)), rerun=Rerun(retry_quarantined=True)), as_json)


@commands.command(epilog="Example: atelier check-brand restyled ~/brand-pictures --sheet matches.png")
def check_brand(
    outputs: Annotated[Path, typer.Argument(help="Restyled picture, or a folder of some.")],
    pictures: Annotated[Path, typer.Argument(help="Folder of the brand's pictures.")],
    sheet: Annotated[
        Path | None, typer.Option(help="A PNG of each picture's window that is most like the brand's, beside it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that colours are the brand's, and that no piece of its pictures is copied; exit code 1 if not."""
    from atelier.tasks.images import codec
    from atelier.tasks.images.contact_sheet import contact_sheet
    from atelier.tasks.inference.brand_check import check_brand as check

    found, matches = check(outputs, pictures)
    if sheet:
        rows = [f"{Path(name).name} {match.correlation:.2f}" for name, match in matches.items()]
        cells = [[match.window, match.place] for match in matches.values()]
        write_sheet(sheet, codec.encode(contact_sheet(cells, rows, ("output", "brand")), "png"))
    result(found, as_json, text=found.summary)
    if not found.passed:
        raise typer.Exit(1)


@commands.command(epilog="Example: atelier inspect restyled/holiday/0001.jpg restyled/holiday/0002.jpg")
def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures that atelier made.")],
    as_json: JsonOption = False,
) -> None:
    """Show how pictures were made.

    Prints the model, dataset, parameters, code and input that the pictures record; exit code 2 if one has no record.
    """
    from atelier.flows.cli.inspect import inspect as read

    found = read(files)
    if as_json or any(one.lineage for one in found):
        result(found, as_json, text="\n\n".join(one.summary for one in found if one.lineage))
    silent = [one.problem for one in found if one.problem]
    for problem in silent:
        print(f"atelier: {problem}", file=sys.stderr)
    if silent:
        raise typer.Exit(2)
