"""The program of the Prefect server: Prefect's own application, on the loopback interface.

Prefect has no setting for the names that requests may give as their host. A page of a foreign site whose name is made
to lead to 127.0.0.1 would reach the server as that name: it is refused here, for requests and websockets alike.
"""

import os
from typing import Any

HOSTS = ("127.0.0.1", "localhost")
SIGN_IN = "/atelier-sign-in"
_PAGE = """<!doctype html><title>Prefect</title><script>
localStorage.setItem("prefect-password", location.hash.slice(1)); location.replace("/")
</script>"""  # the key under which Prefect's pages keep what was typed; the browser never sends what follows a #


class HostCheck:
    """Refuses requests and websockets to other hosts than `HOSTS`; an ASGI application around another."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 400, or 403 to a websocket, or pass on."""
        hosts = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"]
        if scope["type"] == "lifespan" or (len(hosts) == 1 and hosts[0].split(":")[0] in HOSTS):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"this server answers to 127.0.0.1 and localhost only"})


def main() -> None:
    """Serve on the port in PREFECT_SERVER_API_PORT until TERM."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    app = create_app(final=True)
    app.router.routes.insert(0, Route(SIGN_IN, lambda request: HTMLResponse(_PAGE)))
    settings = get_current_settings().server.api
    uvicorn.run(
        HostCheck(app),
        host=HOSTS[0],
        port=int(os.environ["PREFECT_SERVER_API_PORT"]),
        log_level="warning",
        timeout_keep_alive=settings.keepalive_timeout,
        ws_ping_interval=settings.websocket_ping_interval,
        ws_ping_timeout=settings.websocket_ping_timeout,
    )


if __name__ == "__main__":
    main()
