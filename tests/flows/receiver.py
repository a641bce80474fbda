"""A web server that takes messages."""

from http.server import BaseHTTPRequestHandler


class Service(BaseHTTPRequestHandler):
    """Takes messages for /take, and those without attachments for /small; refuses all others."""

    messages: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        takes = self.path.startswith("/take") or (self.path.startswith("/small") and b"base64" not in body)
        if takes:
            self.messages.append((self.path, body))
        self.send_response(200 if takes else 403)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""
