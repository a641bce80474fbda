"""Options of a command as dataclasses: each field becomes an option. Those that several commands have are here."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from atelier.flows.cli.completion import complete_change
from atelier.flows.cli.output import JsonOption, WorkspaceOption
from atelier.tasks.workspace.layout import Workspace

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=complete_change,
        help="Set a parameter in params.yaml first, like train.loop.steps=500. It stays set. Repeatable.",
    ),
]


@dataclass(frozen=True)
class ParameterOptions:
    """The options of commands that read params.yaml."""

    workspace: WorkspaceOption = None
    changes: SetOption = None
    as_json: JsonOption = False

    def find(self) -> Workspace:
        """The workspace, with its parameters changed. Raises as `Workspace.find` and `set_parameters`."""
        found = Workspace.find(self.workspace)
        change_parameters(found, self.changes)
        return found


def change_parameters(workspace: Workspace, changes: Sequence[str] | None) -> None:
    """Set parameters in params.yaml, and say which have changed. Raises as `set_parameters`."""
    if changes:
        from atelier.flows.config.changes import set_parameters
        from atelier.flows.runs.terminal import say

        for line in set_parameters(workspace.params, changes):
            say(line)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command for typer, whose parameters of a dataclass type are replaced by the fields of that dataclass.

    Fields have a default, and a type as `Annotated[str, typer.Option(help=…)]`.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: one.annotation for name, one in signature.parameters.items() if is_dataclass(one.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for name, one in signature.parameters.items():
        if name in groups:
            hints = get_type_hints(groups[name], include_extras=True)
            parameters += [
                one.replace(name=option.name, default=option.default, annotation=hints[option.name])
                for option in fields(groups[name])
            ]
        else:
            parameters.append(one)

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        built = {
            name: group(**{option.name: given.pop(option.name) for option in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **built)

    keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    flat.__signature__ = signature.replace(parameters=keyword_only)  # type: ignore[attr-defined]
    flat.__annotations__ = {one.name: one.annotation for one in keyword_only}
    return flat
