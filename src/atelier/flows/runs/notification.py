"""Notifications about a nightly run: a message to each service that `notify` names, with a picture where it takes one.

Prefect's notification blocks use Apprise, but send no attachments; where the URL is known, Apprise is called directly.
URLs are secrets: no text of Apprise, Prefect or the network about a failure is shown or logged.
"""

import asyncio
import inspect
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging.handlers import BufferingHandler
from pathlib import Path

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from apprise.attachment.file import AttachFile
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.blocks.system import Secret

from atelier.flows.config.notify import Kind, NotifyConfig

_TONES = {
    "success": NotifyType.SUCCESS, "noop": NotifyType.INFO, "refused": NotifyType.WARNING,
    "awaiting": NotifyType.WARNING, "failed": NotifyType.FAILURE, "stopped": NotifyType.FAILURE,
}  # fmt: skip
_ASSET = AppriseAsset(app_id="Atelier", app_desc="Atelier", app_url="", async_mode=False)
_URL_LOGGERS = ("apprise", "urllib3", "requests", "httpx", "httpcore")  # these log URLs
_LOGGER = logging.getLogger("apprise")
_ANSWERED = re.compile(r"error=(\d{3})\b")
_NO_ANSWER = "the service did not take the message"


@dataclass(frozen=True)
class Event:
    """The content of a message."""

    kind: Kind
    workspace: str  # name
    title: str
    sentences: tuple[str, ...]
    link: str = ""  # to the flow run
    picture: Path | None = None  # attached if the service takes attachments


class DeliveryError(Exception):
    """A message was not delivered; the reason has no secret in it."""


def notify(config: NotifyConfig, event: Event) -> list[str]:
    """Message every service in `config`, if it names this kind of event; a sentence for each that did not get it."""
    if event.kind not in config.when:
        return []
    problems = []
    for name in config.urls:
        try:
            with _without_logs():
                _send(name, event)
        except DeliveryError as error:
            problems.append(f"no message to {name}: {error}")
        except Exception as error:  # noqa: BLE001 (services fail in every way, and their texts may have the URL)
            problems.append(f"no message to {name}: {type(error).__name__} (check the URL that it names)")
    return problems


def _send(name: str, event: Event) -> None:
    title = f"{event.workspace}: {event.title}"
    body = "\n".join([*event.sentences, *([event.link] if event.link else [])])
    destination = _destination(name)
    if isinstance(destination, NotificationBlock):
        with destination.raise_on_failure():
            try:
                pending = destination.notify(body, subject=title)
                if inspect.isawaitable(pending):  # as in blocks of other packages
                    asyncio.run(pending)
            except NotificationError:
                raise DeliveryError(_NO_ANSWER) from None  # its log may have the URL
        return
    service = Apprise(asset=_ASSET)
    if not service.add(destination):
        raise DeliveryError("it has no URL that Apprise knows (write slack://…, mailto://…, json://… or such)")
    picture = event.picture if event.picture is not None and event.picture.is_file() else None
    failure = _notify(service, event, title, body, picture)
    if failure and picture is not None and _notify(service, event, title, body, None) is None:
        raise DeliveryError(f"{failure}; the message without its picture was delivered")
    if failure:
        raise DeliveryError(failure)


def _notify(service: Apprise, event: Event, title: str, body: str, picture: Path | None) -> str | None:
    """Send one message; the reason, without secrets, why it was not delivered, None if it was."""
    log = BufferingHandler(1000)
    _LOGGER.addHandler(log)
    try:
        delivered = service.notify(
            body=body,
            title=title,
            notify_type=_TONES[event.kind],
            body_format=NotifyFormat.TEXT,
            attach=AttachFile(str(picture)) if picture is not None else None,  # type: ignore[no-untyped-call]
        )
    finally:
        _LOGGER.removeHandler(log)
    if delivered:
        return None
    answers = [found.group(1) for record in log.buffer if (found := _ANSWERED.search(record.getMessage()))]
    return f"the service answered {answers[-1]}" if answers else _NO_ANSWER


def _destination(name: str) -> str | NotificationBlock:
    """The URL in an environment variable or a Secret block, or a notification block."""
    if "/" not in name:
        if url := os.environ.get(name):
            return url
        raise DeliveryError(f"the environment variable {name} is not set: set it where `atelier retrain` runs")
    try:
        block = Block.load(name)
    except ValueError as error:
        raise DeliveryError(f"Prefect has no block {name}: make one in its UI, or correct notify.urls") from error
    if isinstance(block, Secret):
        return str(block.get())
    if isinstance(block, NotificationBlock):
        return block
    raise DeliveryError(f"the block {name} is neither a Secret nor a notification block")


@contextmanager
def _without_logs() -> Iterator[None]:
    """A block in which no library logs a URL."""
    silence, loggers = logging.NullHandler(), [logging.getLogger(name) for name in _URL_LOGGERS]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        logger.addHandler(silence)  # without any handler Python prints warnings
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(silence)
            logger.propagate = propagate
