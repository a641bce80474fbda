"""Messages, received by a real web server."""

import base64
import json
import logging
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings

from atelier.flows.config.notify import NotifyConfig
from atelier.flows.config.params import Params
from atelier.flows.config.render import render
from atelier.flows.runs.notification import Event, notify
from tests.flows.receiver import Service

# Apprise reads all its services when it is first asked, and one of them tries an old module of Python's
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

TOKEN = "s3cr3t-t0k3n"
EVENT = Event("refused", "studio", "v1.3.0 was refused", ("ssim is 0.31", "prod stays"), "http://localhost/report")


def at(service: ThreadingHTTPServer, path: str, scheme: str = "json") -> str:
    return f"{scheme}://127.0.0.1:{service.server_port}/{path}/{TOKEN}"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_a_message_arrives_with_its_picture(
    service: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TEAM_CHAT", at(service, "take"))
    picture = tmp_path / "before & after?.png"
    picture.write_bytes(b"\x89PNG picture")
    event = Event(EVENT.kind, EVENT.workspace, EVENT.title, EVENT.sentences, EVENT.link, picture)
    assert notify(NotifyConfig(("TEAM_CHAT",)), event) == []
    ((path, body),) = Service.messages
    message = json.loads(body)
    assert path == f"/take/{TOKEN}"
    assert message["title"] == "studio: v1.3.0 was refused"
    assert message["message"].splitlines() == ["ssim is 0.31", "prod stays", "http://localhost/report"]
    assert message["type"] == "warning"
    (attached,) = message["attachments"]
    assert base64.b64decode(attached["base64"]) == b"\x89PNG picture"
    assert TOKEN not in log.text


def test_nobody_is_told_of_what_they_did_not_ask_for(
    service: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_CHAT", at(service, "take"))
    assert notify(NotifyConfig(("TEAM_CHAT",), ("success",)), EVENT) == []
    assert Service.messages == []


def test_what_fails_is_told_without_its_secret_and_stops_nobody_else(
    service: ThreadingHTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    urls = {
        "REFUSES": at(service, "refuse"),
        "AWAY": f"json://user:{TOKEN}@127.0.0.1:1/{TOKEN}",
        "WRONG": f"{TOKEN}://nothing",
        "TAKES": at(service, "take"),
    }
    for name, url in urls.items():
        monkeypatch.setenv(name, url)
    problems = notify(NotifyConfig(("REFUSES", "AWAY", "WRONG", "MISSING", "TAKES")), EVENT)
    assert problems == [
        "no message to REFUSES: the service answered 403",
        "no message to AWAY: the service did not take the message",
        "no message to WRONG: it has no URL that Apprise knows (write slack://…, mailto://…, json://… or such)",
        "no message to MISSING: the environment variable MISSING is not set: set it where `atelier retrain` runs",
    ]
    assert len(Service.messages) == 1
    assert TOKEN not in log.text + "".join(capfd.readouterr())


def test_a_message_whose_picture_is_not_taken_goes_without(
    service: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_CHAT", at(service, "small"))
    (tmp_path / "picture.png").write_bytes(b"picture")
    event = Event("failed", "studio", "failed", ("why",), picture=tmp_path / "picture.png")
    problems = notify(NotifyConfig(("TEAM_CHAT",)), event)
    assert problems == [
        "no message to TEAM_CHAT: the service answered 403; the message without its picture was delivered"
    ]
    assert len(Service.messages) == 1


def test_blocks_of_prefect_hold_urls_and_send_too(
    service: ThreadingHTTPServer, plane: str, log: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings({PREFECT_API_URL: plane}):
        Secret(value=at(service, "take")).save("team-chat")
        for name, path in (("hook", "take"), ("broken", "refuse")):
            block = CustomWebhookNotificationBlock(
                name=name, url=at(service, path, "http"), json_data={"text": "{{subject}} {{body}}"}
            )
            block.save(name)
        config = NotifyConfig(("secret/team-chat", "custom-webhook/hook", "custom-webhook/broken", "secret/other"))
        problems = notify(config, EVENT)
    assert [problem.split(":")[0] for problem in problems] == [
        "no message to custom-webhook/broken",
        "no message to secret/other",
    ]
    first, second = (json.loads(body) for _, body in Service.messages)
    assert first["title"] == "studio: v1.3.0 was refused"
    assert second["text"].startswith("studio: v1.3.0 was refused ssim is 0.31")
    assert TOKEN not in log.text + "".join(problems) + "".join(capfd.readouterr())


def test_a_secret_in_params_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(render({"notify": NotifyConfig()}).replace("urls: []", f'urls: ["json://host/{TOKEN}"]'))
    with pytest.raises(ValueError, match=r"entry 1 of notify\.urls is not a name") as caught:
        _ = Params(path).notify
    assert TOKEN not in str(caught.value)
