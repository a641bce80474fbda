"""Base class of the settings of a method: what is known of a method without torch."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class MethodConfig:
    """Settings of a training method.

    A subclass has a field for each setting, with a default, a description and bounds in its metadata. A method that is
    trained step by step has a field `optimizer: OptimizerConfig`.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: ClassVar[str]  # of the method, in params.yaml and in model cards
    controls: ClassVar[tuple[str, ...]] = ("strength",)  # fields of `Controls` that the method honours
    generates: ClassVar[bool] = False  # makes pictures of the style domain from noise, and paints none
