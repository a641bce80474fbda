"""Options of a command as dataclasses: each field becomes an option."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints


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
