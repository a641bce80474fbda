"""An S3 server that misbehaves: each object is read whole or not at all, and nothing waits for ever."""

import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from botocore.retries.standard import ExponentialBackoff

from atelier.tasks.images.codec import BadImage, encode
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.storage import s3_filesystem
from atelier.tasks.storage.open_source import list_entries, read

READ_TIMEOUT_S = s3_filesystem.CLIENT["read_timeout"]
PNG = encode(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), "png")
# by the name of the object: how often its first requests misbehave, and the reason of those that never stop
CASES = {
    "503-twice": (2, ""),
    "reset-twice": (2, ""),
    "cut-once": (1, ""),
    "500-always": (99, "InternalError|Internal Server Error|500"),
    "cut-always": (99, "."),
    "reset-always": (99, "."),
    "short-always": (99, "100 of"),
    "silent-always": (99, "[Tt]imeout|timed out"),
    "fine": (0, ""),
}
LISTING = "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>{}</ListBucketResult>"
OBJECT = "<Contents><Key>in/{}.png</Key><Size>{}</Size><ETag>e</ETag></Contents>"


class Misbehaving(BaseHTTPRequestHandler):
    """Answers as S3 does, or as the name of the object says."""

    protocol_version = "HTTP/1.1"
    asked: Counter[str] = Counter()  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        if "list-type" in self.path:
            if self.asked[self.path] <= 2:  # the listing is refused, too
                return self.answer(503, b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>")
            return self.answer(200, LISTING.format("".join(OBJECT.format(n, len(PNG)) for n in sorted(CASES))).encode())
        name = self.path.rpartition("/")[2].partition(".")[0]
        how = name.partition("-")[0] if self.asked[self.path] <= CASES[name][0] else "fine"
        if how in ("500", "503"):
            code = "InternalError" if how == "500" else "SlowDown"
            return self.answer(int(how), f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())
        if how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return self.connection.close()
        if how == "silent":
            time.sleep(6)
            self.close_connection = True
            return None
        return self.answer(206, PNG[:100] if how in ("cut", "short") else PNG, len(PNG) if how == "cut" else None)

    def answer(self, status: int, body: bytes, said: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(said or len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = said is not None

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def handle(self) -> None:
        """Ignore what the other side closes."""
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Misbehaving.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setitem(s3_filesystem.CLIENT, "read_timeout", 0.5)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.05)  # between tries, else some seconds
    s3_filesystem.ExactKeys.clear_instance_cache()
    yield
    s3_filesystem.ExactKeys.clear_instance_cache()
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("store")
def test_objects_are_whole_or_quarantined_with_a_reason(tmp_path: Path) -> None:
    begun = time.monotonic()
    entries = {entry.name.removesuffix(".png"): entry for entry in list_entries("s3://b/in/", tmp_path)}
    assert set(entries) == set(CASES)

    def outcome(name: str) -> bytes | str:
        try:
            return read(entries[name])
        except BadImage as error:
            return str(error)

    with ThreadPoolExecutor(len(CASES)) as pool:  # most of the time is spent between tries
        outcomes = dict(zip(CASES, pool.map(outcome, CASES), strict=True))
    for name, (_, reason) in CASES.items():
        found = outcomes[name]
        if not reason:
            assert found == PNG, name
        else:
            assert isinstance(found, str), name
            assert re.search(reason, found), name
            assert "\n" not in found
    assert time.monotonic() - begun < 60
    tries = max(asked for path, asked in Misbehaving.asked.items() if "silent" in path)
    assert 4 <= tries <= 12
    longest_s = tries * (READ_TIMEOUT_S + 1)  # with the delays between them
    assert longest_s < StylizeConfig.picture_timeout_s, "it fails before its worker is killed"
