import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.numpy import save_file

from atelier.models import card
from atelier.models.card import ModelIdentity
from atelier.tasks.images import provenance
from atelier.tasks.images.codec import encode
from atelier.tasks.images.provenance import Provenance

BARE = {"format": 1, "method": "cpgan", "config": {}}
MODEL = ModelIdentity("style-model", "v1.2.0", "cpgan", "d" * 64, "e" * 64)
SOME = Provenance(MODEL, {"strength": 0.5, "plan": {"backend": "torch"}}, "a" * 64)
PICTURE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_every_format_carries_its_provenance(format: str) -> None:
    assert provenance.read(encode(PICTURE, format, xmp=provenance.xmp_packet(SOME))) == SOME


def test_the_revision_of_the_code_is_recorded_and_not_compared() -> None:
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert SOME.revision == revision.stdout.strip()
    older = replace(SOME, revision="f" * 40)
    read = provenance.read(encode(PICTURE, "png", xmp=provenance.xmp_packet(older)))
    assert read == SOME
    assert read.revision == older.revision


def test_names_with_markup_come_back() -> None:
    odd = Provenance(ModelIdentity("a\"b<c>&'", "", "m", "", "w"), {"note": "<&\"' \n é"}, "i")
    assert provenance.read(encode(PICTURE, "png", xmp=provenance.xmp_packet(odd))) == odd


def test_the_packet_has_the_iptc_digital_source_type() -> None:
    root = ElementTree.fromstring(provenance.xmp_packet(SOME).decode().strip("\ufeff"))
    description = next(root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"))
    key = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    assert description.attrib[key].endswith("/compositeWithTrainedAlgorithmicMedia")


def test_equal_provenances_give_equal_bytes() -> None:
    turned = Provenance(MODEL, dict(reversed(SOME.parameters.items())), SOME.input_sha256)
    assert provenance.xmp_packet(turned) == provenance.xmp_packet(SOME)


@pytest.mark.parametrize("xmp", [None, b"<x/>", b"no xml", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'])
def test_other_pictures_have_no_provenance(xmp: bytes | None) -> None:
    assert provenance.read(encode(PICTURE, "png", xmp=xmp)) is None


@pytest.mark.parametrize("parameters", ["[" * 50_000, "5", "{", "null"])
def test_a_changed_packet_is_ignored(parameters: str) -> None:
    packet = provenance.xmp_packet(replace(SOME, parameters={}))
    assert packet.count(b'"{}"') == 1
    data = encode(PICTURE, "png", xmp=packet.replace(b'"{}"', f'"{parameters}"'.encode()))
    assert provenance.read(data) is None


def test_a_packet_too_long_for_a_jpeg_is_refused() -> None:
    with pytest.raises(ValueError, match="60,000"):
        provenance.xmp_packet(Provenance(MODEL, {"x": "y" * 70_000}, ""))


def test_identify_reads_a_model_folder_and_records_no_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no model folder"):
        card.identify(tmp_path, "m", "")
    save_file({"w": np.zeros(3, np.float32)}, tmp_path / "generator.safetensors")
    (tmp_path / "model.json").write_text(json.dumps(BARE | {"dataset": "d"}))
    identity = card.identify(tmp_path, "/home/someone/m", "")
    assert (identity.name, identity.method, identity.dataset) == ("m", "cpgan", "d")
    save_file({"w": np.ones(3, np.float32)}, tmp_path / "generator.safetensors")
    assert card.identify(tmp_path, "m", "").weights_sha256 != identity.weights_sha256
    (tmp_path / "model.json").write_text(json.dumps(BARE | {"method": "none"}))
    with pytest.raises(ValueError, match="method 'none' is unknown to this version"):
        card.identify(tmp_path, "m", "")
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(ValueError, match="damaged"):
        card.identify(tmp_path, "m", "")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-4], lambda data: data + b"x", lambda data: data[:20], lambda data: b""]
)
def test_cut_weights_are_detected_without_loading_them(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    weights = tmp_path / "generator.safetensors"
    save_file({"w": np.zeros(3, np.float32)}, weights)
    (tmp_path / "model.json").write_text(json.dumps(BARE))
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(ValueError, match=r"generator\.safetensors is damaged"):
        card.identify(tmp_path, "m", "")
