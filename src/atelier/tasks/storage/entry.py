"""What a source is made of: one picture or other file, how to reach it, and whether its name can be trusted."""

import re
from dataclasses import dataclass

UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a source, and how to reach it; picklable, so that any worker can read it."""

    name: str  # relative POSIX path in the source
    source: str  # the source as the user wrote it
    size: int = 0  # bytes, 0 where unknown
    etag: str = ""  # changes when the content does: modification time, an object's ETag, an archive's own checksum
    kind: str = "file"  # "file", "zip", "tar", "tgz", "tzst" or "sample"
    path: str = ""  # absolute path or URL of the file, or of the archive it lies in
    member: str = ""  # the name inside an archive, as written there
    offset: int = 0  # where a zip's member has its header, and where a tar's has its bytes
    problem: str = ""  # why it cannot be read; "" where nothing is known against it
    record: int = -1  # which record of a CIFAR batch is meant, -1 for the whole file
    group: str = ""  # what this picture shares its parent with; "" for pictures that stand alone
    attributes: str = "{}"  # what the layout says of it, a JSON object such as {"class": "cat"}


def is_hidden(name: str) -> bool:
    """Whether a file or folder name is one that systems add unasked."""
    return (name.startswith(".") and name not in (".", "..")) or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def name_problem(name: str) -> str:
    """What is wrong with a relative path, "" when nothing is."""
    if name.startswith("/") or (".." in name and ".." in name.split("/")) or name[1:3] == ":/":
        return "its name leads out of the source"
    if unsafe := UNSAFE.search(name):
        return "its name has control characters" if unsafe[0] < "\x80" else "its name is not UTF-8"
    return "" if name.strip("/.") else "it has no name"


def printable(name: str) -> str:
    """A name that can be shown and stored whatever it holds."""
    safe = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if ord(c) >= 32 and ord(c) != 127 else f"\\x{ord(c):02x}" for c in safe)
