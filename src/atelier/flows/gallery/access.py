"""Who may see the gallery: this machine's user, signed in with a password, from the gallery's own pages.

A browser sends requests of foreign pages too, and cookies to every port of a host. So the name in `Host` must be ours
(against names that are made to lead to 127.0.0.1), what changes something must come from our own origin and hold a
token that only our pages have, and the cookie is no password: it is drawn for this process.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
SIGN_IN = "/sign-in"
PUBLIC = (SIGN_IN, "/static/", "/favicon.ico")  # what is shown before somebody has signed in
MAX_FORM_BYTES = 16_384
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# a report comes from a file, which may be somebody else's: it runs apart from our pages, and reaches nothing
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser would hide the origin of our own forms
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Keys:
    """The password, and what is drawn for one process."""

    password: str
    port: int
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))  # value of the cookie
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))  # in every form

    @property
    def cookie(self) -> str:
        """Name of the cookie: another gallery on this machine has another port."""
        return f"atelier-{self.port}"


class Access:
    """The ASGI application around the gallery that lets nobody else in, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self.app, self.keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] += [
                    (name.lower().encode(), value.encode())
                    for name, value in HEADERS.items()
                    if name.lower().encode() not in given
                ]
            await send(message)

        if scope["type"] != "http":  # there are no websockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(Request(scope))
        await (refusal or self.app)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that is not let in."""
        origins = {f"http://{host}:{self.keys.port}" for host in HOSTS}
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or f"http://{hosts[0]}" not in origins:
            return PlainTextResponse("the gallery answers to 127.0.0.1 and localhost only", 400)
        if request.method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("no such method", 405)
        if request.method == "POST" and request.headers.get("origin") != f"http://{hosts[0]}":
            return PlainTextResponse("only the gallery's own pages may ask for this", 403)
        if request.scope["path"].startswith(PUBLIC) or same(
            request.cookies.get(self.keys.cookie, ""), self.keys.session
        ):
            return None
        if request.method == "POST":
            return PlainTextResponse("sign in first", 403)
        return RedirectResponse(SIGN_IN, 303)


def same(given: str, secret: str) -> bool:
    """Whether a text is a secret, in a time that tells nothing of it."""
    return hmac.compare_digest(given.encode(), secret.encode())


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form.

    Raises:
        ValueError: it is too large, or no form.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            raise ValueError("the form is too large")
    return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=20))
