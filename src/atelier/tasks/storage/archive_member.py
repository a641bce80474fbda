"""Members of archives, and the links of a tar, which are files with the bytes of another member."""

import posixpath
import tarfile
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from atelier.tasks.storage.companion_files import FOLDER_LINK, REPLACED

MAX_HOPS = 40  # from link to link, as Linux allows


class Member(NamedTuple):
    """One file of an archive."""

    name: str  # as written in the archive
    size: int  # bytes, unpacked
    etag: str
    offset: int  # of its bytes in the unpacked tar stream; of its header in a zip
    problem: str = ""  # why it cannot be read, "" when nothing is known
    skipped: str = ""  # kind of a file that is no picture, "" where the name says it


class Link(NamedTuple):
    """A link of a tar."""

    name: str
    target: str
    symbolic: bool  # relative to its own folder; otherwise the name of an earlier member
    offset: int  # of its header
    etag: str


def linked_members(links: Sequence[Link], headers: Iterable[tarfile.TarInfo]) -> list[Member]:
    """The links as members with the bytes that they lead to, in the order of these bytes.

    Args:
        links: of the tar, in its order.
        headers: all headers of the tar.
    """
    by_name = {_plain(link.name): link for link in links}
    wanted = [_target(link, by_name) for link in links]
    targets = set(wanted)
    folders: set[str] = set()
    files: dict[str, list[tarfile.TarInfo]] = {}  # by name, in the order of the archive
    for info in headers:
        name = _plain(info.name)
        if info.isreg() and not info.issparse() and (name in targets or name in by_name):
            files.setdefault(name, []).append(info)
        folder = name if info.isdir() else posixpath.dirname(name)
        while folder and folder not in folders:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    members = []
    for link, target in zip(links, wanted, strict=True):
        found = [info for info in files.get(target, ()) if link.symbolic or info.offset < link.offset]
        if any(info.offset > link.offset for info in files.get(_plain(link.name), ())):
            members.append(Member(link.name, 0, link.etag, 0, skipped=REPLACED))
        elif found:
            members.append(Member(link.name, found[-1].size, link.etag, found[-1].offset_data))
        elif link.symbolic and (target in folders or target == "."):
            members.append(Member(link.name, 0, link.etag, 0, skipped=FOLDER_LINK))
        else:
            members.append(Member(link.name, 0, link.etag, 0, "a link that leads to no file of its archive"))
    return sorted(members, key=lambda member: member.offset)


def _target(link: Link, by_name: dict[str, Link]) -> str:
    """The name that a link leads to, through further links; "" where it leads out of the archive or to itself."""
    path = _beside(link)
    for _ in range(MAX_HOPS):
        parts = path.split("/")
        ancestors = ("/".join(parts[: depth + 1]) for depth in range(len(parts)))
        inner = next((name for name in ancestors if name in by_name and (name == path or by_name[name].symbolic)), "")
        if not inner or path.startswith(("/", "../")):
            return "" if path.startswith(("/", "../")) or path == ".." else path
        path = posixpath.normpath(_beside(by_name[inner]) + path[len(inner) :])
    return ""


def _beside(link: Link) -> str:
    """What a link names, seen from the root of the archive."""
    folder = posixpath.dirname(_plain(link.name)) if link.symbolic else ""
    return posixpath.normpath(posixpath.join(folder, link.target))


def _plain(name: str) -> str:
    return posixpath.normpath(name)
