"""Where Prefect's server keeps its runs and schedules: a file of SQLite's, or a PostgreSQL database."""

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

    url: str = field(repr=False)  # with its password, as SQLAlchemy wants it
    name: str  # for people and records: without the password

    def check(self) -> None:
        """See that it lets us in: Prefect's server would take half a minute to say so.

        Raises:
            ConnectionError: it does not.
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
        from sqlalchemy.ext.asyncio import create_async_engine  # the URL is read as the server will read it
        from sqlalchemy.pool import NullPool

        engine = create_async_engine(self.url, poolclass=NullPool)
        async with asyncio.timeout(_CONNECT_S), engine.connect():
            pass


def wanted(option: str | None) -> Database | None:
    """The database that is asked for; None where nobody asks for one, which means SQLite.

    Args:
        option: of the command line; it wins over the environment.

    Raises:
        ValueError: the URL is none of PostgreSQL's; it is not repeated, for it may hold a password.
    """
    named = [("--database", option), *((name, os.environ.get(name)) for name in VARIABLES)]
    for name, url in named:
        if url:
            return _read(name, url)
    return None


def remembered(folder: Path) -> Database | None:
    """The database that the server of this folder was started with, if that was none of SQLite's."""
    try:
        return _read(_FILE, (folder / _FILE).read_text())
    except FileNotFoundError:
        return None


def remember(folder: Path, database: Database | None) -> None:
    """Keep, for our eyes only, what a restart after a crash needs."""
    if database:
        write_secret(folder / _FILE, database.url)
    else:
        forget(folder)


def forget(folder: Path) -> None:
    """Remove what `remember` kept."""
    (folder / _FILE).unlink(missing_ok=True)


def _read(origin: str, url: str) -> Database:
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname or 'a socket'}:{parts.port or 5432}"
    except ValueError:
        parts, where = urlsplit(""), ""
    if parts.scheme not in ("postgresql", "postgres", "postgresql+asyncpg") or not parts.path.strip("/"):
        raise ValueError(
            f"{origin} is no URL of a PostgreSQL database: write it like postgresql://USER:PASSWORD@HOST:5432/NAME"
        )
    _, _, rest = url.partition("://")
    return Database(f"postgresql+asyncpg://{rest}", f"PostgreSQL at {where}{parts.path}")
