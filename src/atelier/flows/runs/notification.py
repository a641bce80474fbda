"""Telling people how a night ended: a message to each service that `notify` names, with a picture where it takes one.

Prefect's notification blocks send through Apprise, but without attachments: where the URL is at hand, Apprise is asked
itself. URLs are secrets, tokens and all: nothing that Apprise, Prefect or the network says of a failure is passed on.
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
    "success": NotifyType.SUCCESS,
    "noop": NotifyType.INFO,
    "refused": NotifyType.WARNING,
    "awaiting": NotifyType.WARNING,
    "failed": NotifyType.FAILURE,
    "stopped": NotifyType.FAILURE,
}
_ASSET = AppriseAsset(app_id="Atelier", app_desc="Atelier", app_url="", async_mode=False)
_TALKATIVE = ("apprise", "urllib3", "requests", "httpx", "httpcore")  # what logs URLs
_LOGGER = logging.getLogger("apprise")
_ANSWERED = re.compile(r"error=(\d{3})\b")
_MOST_SAID = 1000  # records of one message
_NO_ANSWER = "the service did not take the message"


@dataclass(frozen=True)
class Event:
    """What people are told."""

    kind: Kind
    workspace: str  # its name
    title: str
    sentences: tuple[str, ...]
    link: str = ""  # where there is more to see
    picture: Path | None = None  # attached where the service takes attachments


class UntoldError(Exception):
    """A message was not delivered; says why, without any secret."""


def tell(config: NotifyConfig, event: Event) -> list[str]:
    """Tell everybody whom `config` names, if they want to hear of this kind of event.

    Returns:
        What went wrong, in sentences: a night does not fail because nobody hears of it.
    """
    if event.kind not in config.when:
        return []
    problems = []
    for name in config.urls:
        try:
            with _hushed():
                _send(name, event)
        except UntoldError as error:
            problems.append(f"{name} was not told: {error}")
        except Exception as error:  # noqa: BLE001 (services fail in every way, and their words may hold the URL)
            problems.append(f"{name} was not told: {type(error).__name__} (see that what it names is a working URL)")
    return problems


def _send(name: str, event: Event) -> None:
    title = f"{event.workspace}: {event.title}"
    body = "\n".join([*event.sentences, *([event.link] if event.link else [])])
    destination = _block(name) if "/" in name else _variable(name)
    if isinstance(destination, NotificationBlock):
        _through(destination, title, body)
        return
    service = Apprise(asset=_ASSET)
    if not service.add(destination):
        raise UntoldError("it holds no URL that Apprise knows (write slack://…, mailto://…, json://… or such)")
    picture = event.picture if event.picture is not None and event.picture.is_file() else None
    failure = _notify(service, event, title, body, picture)
    if failure and picture is not None and _notify(service, event, title, body, None) is None:
        raise UntoldError(f"{failure}; the message without its picture was delivered")
    if failure:
        raise UntoldError(failure)


def _notify(service: Apprise, event: Event, title: str, body: str, picture: Path | None) -> str | None:
    """Send one message.

    Returns:
        Why it was not delivered, without secrets; None where it was.
    """
    said = BufferingHandler(_MOST_SAID)
    _LOGGER.addHandler(said)
    try:
        delivered = service.notify(
            body=body,
            title=title,
            notify_type=_TONES[event.kind],
            body_format=NotifyFormat.TEXT,
            attach=AttachFile(str(picture)) if picture is not None else None,  # type: ignore[no-untyped-call]
        )
    finally:
        _LOGGER.removeHandler(said)
    if delivered:
        return None
    answers = [found.group(1) for record in said.buffer if (found := _ANSWERED.search(record.getMessage()))]
    return f"the service answered {answers[-1]}" if answers else _NO_ANSWER


def _through(block: NotificationBlock, title: str, body: str) -> None:
    with block.raise_on_failure():
        try:
            pending = block.notify(body, subject=title)
            if inspect.isawaitable(pending):  # Prefect's own wait here, those of other packages need not
                asyncio.run(pending)
        except NotificationError:
            raise UntoldError(_NO_ANSWER) from None  # its log may hold the URL


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UntoldError(f"the environment variable {name} is not set: set it where the night runs")
    return value


def _block(name: str) -> "str | NotificationBlock":
    """The URL that a Secret block holds, or a notification block."""
    try:
        block = Block.load(name)
    except ValueError as error:
        raise UntoldError(f"Prefect has no block {name}: make one in its UI, or correct notify.urls") from error
    if isinstance(block, Secret):
        return str(block.get())
    if isinstance(block, NotificationBlock):
        return block
    raise UntoldError(f"the block {name} neither is a Secret nor sends notifications")


@contextmanager
def _hushed() -> Iterator[None]:
    """A block in which nobody logs a URL."""
    silence, loggers = logging.NullHandler(), [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        logger.addHandler(silence)  # where nobody listens at all, Python prints warnings
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(silence)
            logger.propagate = propagate
