"""The subcommand `params`: every parameter with its default and its meaning."""

from typing import Annotated

import typer

commands = typer.Typer()


@commands.command(epilog="Example: atelier params train.cyclegan")
def params(
    key: Annotated[
        str | None, typer.Argument(metavar="[SECTION]", help="A section, like train, or a part of it, like train.loop.")
    ] = None,
) -> None:
    """Print all parameters, with their defaults. Comments give their meaning."""
    from atelier.flows.config.defaults import defaults
    from atelier.flows.config.params import SECTIONS, nearest
    from atelier.flows.config.render import render
    from atelier.tasks.training.config import train_config_class

    configs = defaults()
    if key is None:
        print(render(configs), end="")
        return
    section, part = (*key.split("."), "")[:2]
    if section not in configs:
        raise ValueError(f"unknown section {section!r}{nearest(section, SECTIONS)}")
    if section == "train":
        configs["train"] = train_config_class({part: {}})()  # it may be a plugin's
    text = render({section: configs[section]}, None if key == section else [key])
    if not text:
        raise ValueError(f"unknown parameter {key!r}: `atelier params {section}` prints all of {section}")
    print(text, end="")
