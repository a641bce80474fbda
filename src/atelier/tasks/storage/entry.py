"""Entries of a source: one picture or other file each, how to read it, and whether its name is safe."""

import re
from dataclasses import dataclass

UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a source, and how to read it. It is picklable: any worker can read it."""

    name: str  # relative POSIX path in the source
    source: str  # the source as the user wrote it
    size: int = 0  # bytes, 0 where unknown
    etag: str = ""  # changes when the content does: modification time, an object's ETag, an archive's own checksum
    kind: str = "file"  # of the `Source` class that reads it
    path: str = ""  # absolute path or URL of the file, or of the archive that holds it
    member: str = ""  # name inside an archive, as written there
    offset: int = 0  # of the header of a zip's member, or of the bytes of a tar's
    problem: str = ""  # why it cannot be read, "" when nothing is known
    skipped: str = ""  # kind of a file that is no picture by its name, see `companion_files`; "" for one that is tried
    record: int = -1  # index in a CIFAR batch, -1 for the whole file
    group: str = ""  # shared by pictures with one parent, "" for pictures without
    attributes: str = "{}"  # from the layout, a JSON object such as {"class": "cat"}


def name_problem(name: str) -> str:
    """Why a relative path is unsafe, "" when it is safe."""
    if name.startswith("/") or (".." in name and ".." in name.split("/")) or name[1:3] == ":/":
        return "its name leads out of the source"
    if unsafe := UNSAFE.search(name):
        return "its name has control characters" if unsafe[0] < "\x80" else "its name is not UTF-8"
    if name.endswith("/"):
        return "its name ends with /, so that it has no file name"
    return "" if name.strip("/.") else "it has no name"


def printable(name: str) -> str:
    """The name with unprintable characters escaped."""
    safe = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if ord(c) >= 32 and ord(c) != 127 else f"\\x{ord(c):02x}" for c in safe)
