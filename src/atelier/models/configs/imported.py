"""Settings of imported: the network that was recognised in a foreign file."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import MethodConfig


@dataclass(frozen=True)
class ImportedConfig(MethodConfig):
    """The network that was recognised."""

    name: ClassVar[str] = "imported"

    filters: int  # channels at full size
    blocks: int  # residual blocks
    antialiased: bool  # whether sizes change as in CUT
