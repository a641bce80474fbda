"""Who is not let in: foreign names, foreign pages, people without the password, and names that lead elsewhere."""

import http.client
from urllib.parse import urlencode

import pytest

from atelier.tasks.registry.tags import find_prod, list_versions
from tests.flows.gallery.conftest import HOSTILE, PASSWORD, Served

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ask(served: Served, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, str]:
    """The status of an answer and its body, or where it leads."""
    status, given, content = answer(served, path, method, body, **headers)
    return status, given.get("location", content)


def answer(
    served: Served, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", served.keys.port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    sent = {"Host": f"127.0.0.1:{served.keys.port}"} | {name.replace("_", "-"): one for name, one in headers.items()}
    for name, one in (sent | (FORM | {"Content-Length": str(len(body))} if body is not None else {})).items():
        connection.putheader(name, one)
    connection.endheaders(body.encode() if body is not None else None)
    got = connection.getresponse()
    found = got.status, {name.lower(): one for name, one in got.getheaders()}, got.read().decode("utf-8", "replace")
    connection.close()
    return found


def signed_in(served: Served) -> dict[str, str]:
    return {"Cookie": f"{served.keys.cookie}={served.keys.session}", "Origin": served.address}


def decision(served: Served, **changed: str) -> str:
    fields = {"csrf": served.keys.csrf, "version": "style-model@v1.2.0", "reason": "attack"}
    return urlencode(fields | changed)


def test_without_the_password_nothing_is_shown_or_done(served: Served) -> None:
    for path in ("/", "/jobs", "/datasets", "/report", "/versions/style-model@v1.1.0", "/commands"):
        assert ask(served, path) == (303, "/sign-in")
        assert ask(served, path, Cookie=f"{served.keys.cookie}=guessed") == (303, "/sign-in")
        assert ask(served, path, Cookie=f"{served.keys.cookie}={PASSWORD}") == (303, "/sign-in"), "no password"
    origin = {"Origin": served.address}
    assert ask(served, "/decide/promote", "POST", decision(served), **origin) == (403, "sign in first")
    status, page = ask(served, "/sign-in", "POST", urlencode({"password": "guessed"}), **origin)
    assert status == 403
    assert "not the password" in page
    status, given, _ = answer(served, "/sign-in", "POST", urlencode({"password": PASSWORD}), **origin)
    assert (status, given["location"]) == (303, "/")
    assert "httponly" in given["set-cookie"].lower()
    assert "samesite=strict" in given["set-cookie"].lower()
    assert PASSWORD not in given["set-cookie"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost", "127.0.0.1.evil.example:{}", "[::1]:{}", ""]
)
def test_another_host_is_refused(served: Served, host: str) -> None:
    named = host.format(served.keys.port)
    for path in ("/", "/sign-in", "/static/page.js"):
        assert ask(served, path, Host=named, Cookie=signed_in(served)["Cookie"])[0] == 400
    assert ask(served, "/", Host=f"localhost:{served.keys.port}", Cookie=signed_in(served)["Cookie"])[0] == 200


def test_another_page_cannot_press_a_button(served: Served) -> None:
    cookie = {"Cookie": signed_in(served)["Cookie"]}
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{served.keys.port + 1}", "", served.address + "/"):
        assert ask(served, "/decide/promote", "POST", decision(served), **cookie, Origin=origin)[0] == 403
    assert ask(served, "/decide/promote", "POST", decision(served), **cookie)[0] == 403, "no origin"
    for csrf in ("", "guessed", served.keys.session):
        assert ask(served, "/decide/promote", "POST", decision(served, csrf=csrf), **signed_in(served))[0] == 403
    for path in ("/decide/promote", "/jobs/x/retry"):
        assert ask(served, path, **cookie)[0] in (404, 405), "no GET does anything"
    assert ask(served, "/", "PUT", "", **signed_in(served))[0] == 405
    large = decision(served, reason="x" * 20_000)
    assert ask(served, "/decide/promote", "POST", large, **signed_in(served))[0] == 500
    prod = find_prod(list_versions(served.workspace))
    assert prod
    assert prod.version == "v1.1.0"


def test_only_what_is_offered_is_done(served: Served) -> None:
    for what, changed, status in (
        ("approve", {}, 409),  # the gate refused it
        ("delete", {}, 409),
        ("promote", {"reason": " "}, 400),
        ("promote", {"version": "style-model@v9.9.9"}, 404),
        ("promote", {"version": "--help"}, 404),
        ("promote", {"version": "style-model-*@v1.0.0"}, 404),
    ):
        assert ask(served, f"/decide/{what}", "POST", decision(served, **changed), **signed_in(served))[0] == status
    assert "No button was pressed yet" in ask(served, "/commands", **signed_in(served))[1]


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../../../../etc/passwd", "/static/%2e%2e%2fbase.html", "/static/base.html", "/../params.yaml"),
        *("/versions/..%2f..%2fparams.yaml", "/versions/style-model@..%2f..", "/versions/style-model@prod"),
        *("/jobs/..%2f..", "/jobs/%2e%2e/report", "/jobs/x/pictures/0/before.jpg", "/datasets/..%2f../now"),
        *("/versions/style-model@v1.1.0/pictures/photograph/..%2f..%2fx.jpg", "/commands/0", "/nowhere"),
    ],
)
def test_no_name_leads_to_another_file(served: Served, path: str) -> None:
    status, page = ask(served, path, **signed_in(served))
    assert status == 404
    assert "root:" not in page
    assert "ingest:" not in page


def test_names_are_text_and_pages_may_load_nothing_from_elsewhere(served: Served) -> None:
    _, jobs = ask(served, "/jobs", **signed_in(served))
    job = jobs.partition('<h3><a href="')[2].partition('"')[0]
    for page in (f"{job}?page=2", f"{job}?state=quarantined", f"{job}?state=%3Cb%3E&page=-1"):
        status, given, text = answer(served, page, **signed_in(served))
        assert status == 200
        assert "<img src=x" not in text
        assert "<b>no" not in text
        assert "default-src 'none'" in given["content-security-policy"]
        assert "unsafe" not in given["content-security-policy"]
    assert "&lt;b&gt;no picture" in ask(served, f"{job}?state=quarantined", **signed_in(served))[1]
    pages = [ask(served, f"{job}?page={number}", **signed_in(served))[1] for number in (1, 2)]
    assert "&lt;img src=x onerror=alert(1)&gt;" in "".join(pages), HOSTILE
    _, given, text = answer(served, f"{job}/report", **signed_in(served))
    assert given["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert "a report" in text
    assert "<b>passed" not in ask(served, "/versions/style-model@v1.3.0", **signed_in(served))[1]
