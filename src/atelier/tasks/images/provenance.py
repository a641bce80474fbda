"""What is stamped into every output: which model, dataset and parameters made it, and from which input.

An XMP packet with the IPTC digital source type for pictures made with a trained algorithm. It names no path, host or
user and carries no time, so that equal work gives equal bytes.
"""

import json
import re
import subprocess
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from atelier.models.card import ModelIdentity
from atelier.tasks.images.codec import read_xmp
from atelier.version import __version__

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
GENERATED_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # from no picture
SOFTWARE = f"Atelier {__version__}"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
OURS = "urn:atelier:lineage:1"
IDENTITY = ("model", "version", "method", "dataset", "weights")  # as ModelIdentity has them
UNPRINTABLE = re.compile("[\\x00-\\x1f\\ud800-\\udfff\\ufffe-\\U0010ffff]")
MAX_PACKET_BYTES = 60_000  # what one JPEG segment holds


@lru_cache(maxsize=1)
def code_revision() -> str:
    """The git commit of the code that runs, "" where it runs from no checkout of its own."""
    here = Path(__file__)
    commands = (("ls-files", "--error-unmatch", here.name), ("rev-parse", "HEAD"))
    try:
        for command in commands:
            done = subprocess.run(["git", *command], cwd=here.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


@dataclass(frozen=True)
class Provenance:
    """Where an output comes from."""

    model: ModelIdentity
    parameters: dict[str, Any]  # what the output depends on beside the model and the input, such as the strength
    input_sha256: str  # "" where it was made from no picture
    software: str = SOFTWARE
    # equal work of equal software is equal, whichever revision did it
    revision: str = field(default_factory=code_revision, compare=False)


def xmp_packet(lineage: Provenance) -> bytes:
    """The XMP packet that tells an output's lineage, UTF-8; equal lineages give equal bytes.

    Raises:
        ValueError: it is too long for the formats that must carry it.
    """
    ours = {
        **dict(zip(IDENTITY, astuple(lineage.model), strict=True)),
        "parameters": json.dumps(lineage.parameters, sort_keys=True),
        "input": lineage.input_sha256,
        "revision": lineage.revision,
    }
    attributes = "".join(f"\n   atelier:{key}={quoteattr(_printable(value))}" for key, value in ours.items())
    source = SOURCE_TYPE if lineage.input_sha256 else GENERATED_TYPE
    text = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{RDF}">\n'
        f'  <rdf:Description rdf:about="" xmlns:xmp="{XMP}" xmlns:Iptc4xmpExt="{IPTC}" xmlns:atelier="{OURS}"\n'
        f"   xmp:CreatorTool={quoteattr(lineage.software)}\n"
        f'   Iptc4xmpExt:DigitalSourceType="{source}"{attributes}/>\n'
        " </rdf:RDF>\n"
        "</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    )
    data = text.encode()
    if len(data) > MAX_PACKET_BYTES:
        raise ValueError(f"the lineage takes {len(data):,} bytes, more than the {MAX_PACKET_BYTES:,} a JPEG can carry")
    return data


def read(data: bytes) -> Provenance | None:
    """The lineage that a picture's file carries, `None` when it carries none of ours.

    Args:
        data: the whole file.

    Raises:
        BadImage: this is no image file.
    """
    xmp = read_xmp(data)
    # a document type declaration could define entities that grow without bounds; no XMP packet has one
    if not xmp or len(xmp) > MAX_PACKET_BYTES or b"<!" in xmp:
        return None
    try:
        root = ElementTree.fromstring(xmp.decode().strip("\ufeff\0 \r\n"))
        found = next(d for d in root.iter(f"{{{RDF}}}Description") if f"{{{OURS}}}weights" in d.attrib)
        ours = {key: found.attrib[f"{{{OURS}}}{key}"] for key in (*IDENTITY, "parameters", "input")}
        parameters = json.loads(ours["parameters"])
        software = found.attrib[f"{{{XMP}}}CreatorTool"]
        revision = found.attrib.get(f"{{{OURS}}}revision", "")
    except (ElementTree.ParseError, StopIteration, KeyError, ValueError, RecursionError):
        return None
    if not isinstance(parameters, dict):
        return None
    return Provenance(ModelIdentity(*(ours[key] for key in IDENTITY)), parameters, ours["input"], software, revision)


def _printable(value: str) -> str:
    """Without the control characters that XML cannot hold."""
    return UNPRINTABLE.sub(" ", value)
