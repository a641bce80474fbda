"""Files that lie beside pictures and are none: one list, by kind, for sources of every kind.

Such a file is an input that is skipped and counted by its kind; it is never opened, and is no failure. A file whose
kind is not known from its name is tried as a picture.
"""

from collections.abc import Iterator
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from atelier.tasks.images.formats import split_suffix

TEXT, DATA, ARCHIVE, VIDEO = "text or document", "data", "archive", "video"
RAW, REPLACED = "raw file of a picture", "older member of the same name"
FOLDER_LINK, FOLDER_MARKER, COMMENT = "link to a folder that is listed", "folder marker", "comment"

_SUFFIXES = {
    "sidecar": "xmp aae pp2 pp3 arp dop on1 cos cop cot comask nksc vrd dr4 thm ctg ufraw spd",
    VIDEO: "mp4 mov avi mkv webm m4v mts m2ts m2t 3gp 3g2 wmv mpg mpeg mpe vob ogv flv asf mxf dv lrv insv 360 crm mod",
    "sound": "mp3 wav m4a aac flac ogg oga opus wma amr aif aiff caf",
    "catalogue": "lrcat lrcat-data lrcat-journal lrcat-shm lrcat-wal lrprev lrtemplate cocatalog cocatalogdb dtdb",
    TEXT: "txt lst xml yaml yml toml ini cfg conf md rst rtf html htm pdf doc docx odt xls xlsx ods ppt pptx log "
    "py ipynb sh bat m js css tex bib srt vtt url lnk webloc eml",
    DATA: "json jsonl csv tsv mat npy npz h5 hdf5 pkl pickle pt pth safetensors onnx parquet arrow db sqlite sqlite3 "
    "bin sha256 sha1 md5 sfv par2 gpx kml kmz nmea fit exe dll ttf otf",
    ARCHIVE: "zip tar tgz tzst zst gz bz2 xz 7z rar iso dmg",
}
KIND_OF_SUFFIX = {f".{suffix}": kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

# names of folders and files, without regard to case; what a folder holds is of its kind
_NAMES = {
    "recycle bin": ("#recycle", "$recycle.bin", "recycler", "recycled", "@recycle", ".recycle", "network trash folder"),
    "thumbnails": ("@eadir", ".thumbnails", ".thumbnail", ".thumb", ".@__thumb", ".xvpics"),
    "snapshot": ("#snapshot", "@recently-snapshot", ".snapshot", ".snapshots", ".zfs"),
    "AppleDouble": ("__macosx",),
    "version control": (".git", ".hg", ".svn", ".bzr", ".dvc"),
    "system file": (
        *(
            "thumbs.db",
            "thumbs.db:encryptable",
            "ehthumbs.db",
            "ehthumbs_vista.db",
            "desktop.ini",
            "picasa.ini",
            ".picasa.ini",
        ),
        *("zbthumbnail.info", ".ds_store", ".localized", ".directory", ".nomedia", "icon\r", "icon\\x0d"),
        *("system volume information", "lost+found", "temporary items", ".temporaryitems", ".spotlight-v100"),
        *(".fseventsd", ".documentrevisions-v100", "@tmp", ".@upload_cache", ".stfolder", ".nextcloudsync.log"),
    ),
}
_KIND_OF_NAME = {name: kind for kind, names in _NAMES.items() for name in names}
# beginnings of names, of which the first counts
_BEGINNINGS = ((".trash", "recycle bin"), (".dtrash", "recycle bin"), ("._", "AppleDouble"), ("@gmt-", "snapshot"))

_RAW = (
    "3fr ari arw bay cap cr2 cr3 crw dcr dcs dng erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf pef ptx pxn "
    "r3d raf raw rw2 rwl rwz sr2 srf srw x3f"
)
RAW_SUFFIXES = frozenset(f".{suffix}" for suffix in _RAW.split())
_DEVELOPED = frozenset((".jpg", ".jpeg", ".jpe", ".heic", ".heif", ".hif"))  # what cameras write beside a raw file


def kind_of(name: str) -> str:
    """The kind of a file that is no picture by its name, a relative path; "" for one that is tried as a picture."""
    folder, _, last = name.rpartition("/")
    kind = (folder and _kind_of_folder(folder)) or _kind_of_part(last) or KIND_OF_SUFFIX.get(_suffix(last), "")
    return kind or ("job state" if last in ("lock", "running") and folder.endswith("_atelier") else "")


@lru_cache(maxsize=4096)  # files of a folder come one after the other
def _kind_of_folder(path: str) -> str:
    kinds = (_kind_of_part(part) or ("thumbnails" if part.endswith(".lrdata") else "") for part in path.split("/"))
    return next(filter(None, kinds), "")


def _kind_of_part(part: str) -> str:
    """The kind of a file or folder with this name, whatever its suffix."""
    lower = part.lower()
    if kind := _KIND_OF_NAME.get(lower):
        return kind
    if lower.startswith((".", "@")) and lower.strip("."):
        kinds = (kind for beginning, kind in _BEGINNINGS if lower.startswith(beginning))
        return next(kinds, "hidden file" if lower[0] == "." else "")
    return ""


def _suffix(last: str) -> str:
    return split_suffix(last)[1].lower()


def kinds_in_listing(names: pa.ChunkedArray, members: pa.ChunkedArray) -> dict[int, str]:
    """Kinds of files that are known from the other files of the listing, by their index.

    These are raw files beside a JPEG or HEIF of the same stem, and members of an archive that a later member of the
    same name replaces when the archive is unpacked.

    Args:
        names: of the files, relative paths.
        members: their names as the archive has them, "" for other files.
    """
    found = dict.fromkeys(_raw_files(names), RAW)
    return found | dict.fromkeys(_replaced(names, members), REPLACED)


def _raw_files(names: pa.ChunkedArray) -> Iterator[int]:
    raws: dict[str, list[int]] = {}
    for index, stem, suffix in _split(names):
        if suffix in RAW_SUFFIXES:
            raws.setdefault(stem, []).append(index)
    if raws:
        for _, stem, suffix in _split(names):
            if suffix in _DEVELOPED:
                yield from raws.pop(stem, ())


def _split(names: pa.ChunkedArray) -> Iterator[tuple[int, str, str]]:
    index = 0
    for chunk in names.iterchunks():
        for name in chunk.to_pylist():
            stem, suffix = split_suffix(name)
            yield index, stem, suffix.lower()
            index += 1


def _replaced(names: pa.ChunkedArray, members: pa.ChunkedArray) -> Iterator[int]:
    """Indexes of members of which a later one has the same name, also written as `./name`."""
    plain = [pc.replace_substring_regex(column, r"(^|/)(\.?/)+", r"\1") for column in (names, members)]
    keys = pc.binary_join_element_wise(*plain, "\n").combine_chunks()
    packed = pc.not_equal(members, "").combine_chunks()
    if pc.count_distinct(keys.filter(packed)).as_py() == pc.sum(packed).as_py():
        return
    last = {key: index for index, key in enumerate(keys.to_pylist())}
    for index, (key, inside) in enumerate(zip(keys.to_pylist(), packed.to_pylist(), strict=True)):
        if inside and last[key] != index:
            yield index
