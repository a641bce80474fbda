"""The database of the Prefect server, for runs and schedules: a SQLite file, or PostgreSQL."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from atelier.tasks.runtime.files import write_secret

SQLITE = "SQLite"
VARIABLES = ("ATELIER_DATABASE", "PREFECT_SERVER_DATABASE_CONNECTION_URL")

_FILE = "database.url"
_CONNECT_S = 10.0


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database."""

    url: str = field(repr=False)  # for SQLAlchemy, with its password
    name: str  # for messages and records, without the password

    def check(self) -> None:
        """Connect once: Prefect's server would take half a minute to report a wrong password.

        Raises:
            ConnectionError: the database refuses the connection or does not answer.
        """
        try:
            asyncio.run(self._connect())
        except Exception as error:
            reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
            secret = urlsplit(self.url).password
            reason = reason.replace(secret, "***") if secret else reason
            raise ConnectionError(
                f"{self.name} does not let us in ({reason[:200]}): correct --database or its variable"
            ) from error

    async def _connect(self) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine  # reads the URL as the server does
        from sqlalchemy.pool import NullPool

        engine = create_async_engine(self.url, poolclass=NullPool)
        async with asyncio.timeout(_CONNECT_S), engine.connect():
            pass


def wanted(option: str | None) -> Database | None:
    """The database that the option on the command line or else the environment names; None for SQLite.

    Raises:
        ValueError: not a PostgreSQL URL. The message leaves the URL out, which may hold a password.
    """
    named = [("--database", option), *((name, os.environ.get(name)) for name in VARIABLES)]
    for name, url in named:
        if url:
            return _parse(name, url)
    return None


def read(folder: Path) -> Database | None:
    """The PostgreSQL database that the server of this folder was started with; None for SQLite."""
    try:
        return _parse(_FILE, (folder / _FILE).read_text())
    except FileNotFoundError:
        return None


def write(folder: Path, database: Database | None) -> None:
    """Write the URL, in a file of mode 0600, for a restart after a crash; None deletes it."""
    if database:
        write_secret(folder / _FILE, database.url)
    else:
        (folder / _FILE).unlink(missing_ok=True)


def _parse(origin: str, url: str) -> Database:
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname or 'a socket'}:{parts.port or 5432}"
    except ValueError:
        parts, where = urlsplit(""), ""
    if parts.scheme not in ("postgresql", "postgres", "postgresql+asyncpg") or not parts.path.strip("/"):
        raise ValueError(
            f"{origin} is not the URL of a PostgreSQL database: write it like postgresql://USER:PASSWORD@HOST:5432/NAME"
        )
    _, _, rest = url.partition("://")
    return Database(f"postgresql+asyncpg://{rest}", f"PostgreSQL at {where}{parts.path}")
