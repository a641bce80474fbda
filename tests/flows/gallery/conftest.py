"""A workspace with versions, a dataset and a bulk job, and its gallery on a port."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import uvicorn

from atelier.flows.gallery.access import Keys
from atelier.flows.gallery.app import application, listen
from atelier.models import artifact
from atelier.models.card import identify
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.methods.cpgan import Cpgan
from atelier.tasks.bulk.inputs import list_inputs
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.bulk.manifest import manifest_of
from atelier.tasks.bulk.request import REQUEST, StylizeRequest
from atelier.tasks.images.codec import encode
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.registry.tags import MODEL, add_version, list_versions
from atelier.tasks.storage.open_destination import open_destination
from atelier.tasks.workspace.layout import Workspace
from tests.tasks.published import noise, studio

PASSWORD = "atelier:test"
HOSTILE = "<img src=x onerror=alert(1)>.png"
PICTURES = 30  # more than a page has


@dataclass(frozen=True)
class Served:
    """A gallery that is served."""

    workspace: Workspace
    keys: Keys

    @property
    def address(self) -> str:
        """Its first page."""
        return f"http://127.0.0.1:{self.keys.port}"


def paint(folder: Path, seed: int) -> None:
    """A model's folder as a version has it."""
    config = CpganConfig(filters=4, blocks=1)
    torch.manual_seed(seed)
    generator = Cpgan.build_generator(config, None)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    facts = {"dataset": "d", "content_domain": "photos", "style_domain": "paintings", "train": {"size_px": 32}}
    artifact.save(folder, config, generator, facts)


def restyle(source: Path, destination: Path, model: Path) -> None:
    """What a bulk job leaves: outputs that are like the inputs, and a picture in quarantine."""
    source.mkdir()
    for number in range(PICTURES):
        (source / f"{number:02}.png").write_bytes(encode(noise(number), "png"))
    (source / HOSTILE).write_bytes(encode(noise(0), "png"))
    (source / "broken.png").write_bytes(b"no picture")
    destination.mkdir(parents=True)
    job = JobFolder(open_destination(destination))
    request = StylizeRequest((str(source),), destination, model, StylizeConfig(), identify(model, MODEL, "v1.1.0"))
    job.folder.create()
    job.folder.write(REQUEST, request.to_json())
    manifest, _ = manifest_of(request, request.controls(), job.destination)
    job.write_manifest(manifest | {"since": 1})
    rows = []
    for row in list_inputs(request.sources, Path()).to_pylist():
        if row["input"] == "broken.png":
            rows.append(LedgerRow("broken.png", "quarantined", "", "decode", "<b>no picture</b>", row["stamp"]))
            continue
        data = (source / row["input"]).read_bytes()
        (destination / row["input"]).write_bytes(data)
        rows.append(LedgerRow(row["input"], "done", row["input"], stamp=row["stamp"], bytes=len(data)))
    job.ledger.append(rows)
    job.folder.write("report.html", b"<script>document.title = 'ran'; fetch('/')</script>a report")


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gallery; v1.3.0 awaits approval, v1.1.0 is prod."""
    folder = tmp_path_factory.mktemp("gallery")
    workspace = studio(folder / "studio")
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "another night"], cwd=workspace.root, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=workspace.root, text=True).strip()
    prod = list_versions(workspace)[1]
    entry = {"bytes": "0" * 32, "style": prod.style, "dataset": prod.dataset, "passed": True, "manual": True}
    add_version(workspace, MODEL, "v1.3.0", head, entry | {"reasons": ["<b>passed</b>"], "metrics": prod.metrics})
    for seed in range(4):
        paint(workspace.models / MODEL / f"v1.{seed}.0", seed)
    restyle(folder / "photos", workspace.stylized / "holiday", workspace.models / MODEL / "v1.1.0")
    with listen() as listening:
        keys = Keys(PASSWORD, listening.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(application(workspace, keys), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield Served(workspace, keys)
        server.should_exit = True
        thread.join()
