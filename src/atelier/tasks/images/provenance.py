"""Provenance of an output: model, dataset, parameters and input, as an XMP packet in the file.

The packet has the IPTC digital source type for media made with a trained algorithm. It has no path, host, user or time,
so that equal work gives equal bytes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from atelier.models.card import ModelIdentity
from atelier.tasks.images.codec import read_xmp
from atelier.tasks.runtime.processes import git
from atelier.version import __version__

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
GENERATED_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # without an input picture
SOFTWARE = f"Atelier {__version__}"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_NAMESPACE = "urn:atelier:lineage:1"
IDENTITY = ("model", "version", "method", "dataset", "weights")  # the fields of ModelIdentity
UNPRINTABLE = re.compile("[\\x00-\\x1f\\ud800-\\udfff\\ufffe-\\U0010ffff]")  # XML forbids most of them
MAX_PACKET_BYTES = 60_000  # for one JPEG segment


@lru_cache(maxsize=1)
def code_revision() -> str:
    """The git commit of the running code, "" outside a checkout."""
    here = Path(__file__)
    commands = (("ls-files", "--error-unmatch", here.name), ("rev-parse", "HEAD"))
    try:
        for command in commands:
            said = git(here.parent, *command)
    except (OSError, RuntimeError):
        return ""
    return said.strip()


@dataclass(frozen=True)
class Provenance:
    """The origin of an output."""

    model: ModelIdentity  # the first one that painted it
    parameters: dict[str, Any]  # other inputs of the computation, such as the strength; under `then` of further models
    input_sha256: str  # "" for generated pictures
    software: str = SOFTWARE
    # not compared: equal software makes equal outputs, whatever the revision
    revision: str = field(default_factory=code_revision, compare=False)
    then: tuple[ModelIdentity, ...] = ()  # those that painted after it, each what the one before it made

    @property
    def steps(self) -> list[tuple[ModelIdentity, dict[str, Any]]]:
        """Each model that painted, with its parameters; the first one has those of the output too."""
        first = {key: value for key, value in self.parameters.items() if key != "then"}
        return [(self.model, first), *zip(self.then, self.parameters.get("then", ()), strict=True)]


def xmp_packet(lineage: Provenance) -> bytes:
    """The XMP packet of a provenance, UTF-8; equal for equal arguments. Raises ValueError where it is too long."""
    ours = {
        **dict(zip(IDENTITY, astuple(lineage.model), strict=True)),
        "parameters": json.dumps(lineage.parameters, sort_keys=True),
        "input": lineage.input_sha256,
        "revision": lineage.revision,
    }
    if lineage.then:
        ours["then"] = json.dumps([dict(zip(IDENTITY, astuple(one), strict=True)) for one in lineage.then])
    attributes = "".join(f"\n   atelier:{key}={quoteattr(UNPRINTABLE.sub(' ', value))}" for key, value in ours.items())
    source = SOURCE_TYPE if lineage.input_sha256 else GENERATED_TYPE
    text = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{RDF}">\n'
        f'  <rdf:Description rdf:about="" xmlns:xmp="{XMP}" xmlns:Iptc4xmpExt="{IPTC}" xmlns:atelier="{_NAMESPACE}"\n'
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
    """The provenance in a picture's file, None where it has none of ours. Raises BadImage if it is no image file."""
    return read_packet(read_xmp(data))


def read_packet(xmp: bytes | None) -> Provenance | None:
    """The provenance in an XMP packet, None where it is not ours."""
    # a document type declaration could define exponentially growing entities; no XMP packet has one
    if not xmp or len(xmp) > MAX_PACKET_BYTES or b"<!" in xmp:
        return None
    try:
        root = ElementTree.fromstring(xmp.decode().strip("\ufeff\0 \r\n"))
        found = next(d for d in root.iter(f"{{{RDF}}}Description") if f"{{{_NAMESPACE}}}weights" in d.attrib)
        ours = {key: found.attrib[f"{{{_NAMESPACE}}}{key}"] for key in (*IDENTITY, "parameters", "input")}
        parameters = json.loads(ours["parameters"])
        then = tuple(_identity(one) for one in json.loads(found.attrib.get(f"{{{_NAMESPACE}}}then", "[]")))
        software = found.attrib[f"{{{XMP}}}CreatorTool"]
        revision = found.attrib.get(f"{{{_NAMESPACE}}}revision", "")
    except (ElementTree.ParseError, StopIteration, KeyError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(parameters, dict):
        return None
    given = parameters.get("then", [])
    if not isinstance(given, list) or len(given) != len(then) or not all(isinstance(one, dict) for one in given):
        return None
    return Provenance(_identity(ours), parameters, ours["input"], software, revision, then)


def _identity(said: Mapping[str, Any]) -> ModelIdentity:
    """A model as a packet names it. Raises KeyError or TypeError where it does not."""
    return ModelIdentity(*(str(said[key]) for key in IDENTITY))
