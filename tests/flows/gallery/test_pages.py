"""The gallery in a real browser: looked at and clicked on, at the size of a desk and of a phone, light and dark."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from atelier.tasks.images.codec import encode
from atelier.tasks.registry.tags import find_prod, list_versions, stage_history
from tests.flows.gallery.browser import DESKTOP, PHONE, PROGRAM, Browser, browser
from tests.flows.gallery.conftest import HOSTILE, PASSWORD, Served
from tests.tasks.published import noise

pytestmark = [pytest.mark.long, pytest.mark.skipif(not PROGRAM, reason="no Chromium")]
SHOWN = ".compare .after"


@pytest.fixture(scope="module")
def person(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser in which somebody has signed in."""
    with browser(tmp_path_factory.mktemp("browser")) as page:
        page.show(DESKTOP, dark=False)
        page.open(f"{served.address}/jobs")
        page.type("input[name=password]", "guessed")
        page.click("form button")
        page.wait("document.body.innerText.includes('not the password')")
        page.open(f"{served.address}/sign-in#{PASSWORD}")  # as `atelier ui` opens it
        page.wait("location.pathname === '/'")
        page.settle()
        assert PASSWORD not in page.value("location.href + document.cookie")
        page.logged.clear()  # the answer 403
        yield page
        assert page.logged == [], "no script failed, and nothing was refused"


def follow(page: Browser, words: str) -> None:
    """Click on the link with these words."""
    script = f"[...document.links].find(a => a.innerText.includes({words!r}))"
    page.wait(f"{script} && ({script}.id = 'wanted')")
    before = page.value("location.href")
    page.click("#wanted")
    page.wait(f"location.href !== {before!r}")
    page.settle()


def test_a_candidate_beside_prod(served: Served, person: Browser) -> None:
    person.open(served.address)
    follow(person, "v1.3.0")
    assert "awaiting" in person.text()
    assert "v1.1.0 prod" in person.text()
    person.wait(f"document.querySelector('{SHOWN}').naturalWidth > 0")
    pairs = person.value("document.querySelectorAll('.strip button').length")
    assert pairs == 8, "all that is held out"
    person.click(".compare", at=(0.25, 0.5))
    assert person.wait("document.querySelector('.compare').style.getPropertyValue('--at')") in ("24%", "25%", "26%")
    first = person.value(f"document.querySelector('{SHOWN}').src")
    person.click(".strip button:last-child")
    person.wait(f"document.querySelector('{SHOWN}').src !== {first!r}")
    same = "document.querySelector('.shown').innerText === document.querySelector('.strip button:last-child').title"
    assert person.value(same)
    follow(person, "beside photograph")
    person.wait("[...document.querySelectorAll('.compare img')].every(i => i.complete && i.naturalWidth > 0)")
    assert person.value("document.querySelector('.tag.left').innerText") == "photograph"


def decide(person: Browser, label: str, reason: str) -> None:
    """Give a reason and press a button; wait until its command is done."""
    person.type("input[name=reason]", reason)
    person.value(f"[...document.querySelectorAll('form button')].find(b => b.innerText === {label!r}).id = 'pressed'")
    person.click("#pressed")
    person.wait("location.pathname.startsWith('/commands/')")
    person.wait("document.querySelector('.decision')?.innerText === 'done'")


def test_buttons_decide(served: Served, person: Browser) -> None:
    address, workspace = f"{served.address}/versions/style-model@", served.workspace
    person.open(f"{address}v1.3.0")
    decide(person, "Reject", "skies are <green>")
    assert [(one.version, one.reason) for one in stage_history(workspace, "style-model", "rejected")] == [
        ("v1.3.0", "skies are <green>")
    ]
    person.open(f"{address}v1.3.0")
    assert "rejected" in person.text()
    person.open(f"{address}v1.2.0")
    decide(person, "Make it prod", "it looks better")
    assert find_prod(list_versions(workspace)).version == "v1.2.0"  # type: ignore[union-attr]
    person.open(f"{address}v1.1.0")
    decide(person, "Roll back to it", "no")
    assert stage_history(workspace, "style-model")[-1].reason == "no"
    assert find_prod(list_versions(workspace)).version == "v1.1.0"  # type: ignore[union-attr]


def test_a_bulk_job_by_page(served: Served, person: Browser) -> None:
    person.open(f"{served.address}/jobs")
    follow(person, "holiday")
    assert "31 done" in person.text()
    assert person.value("document.querySelectorAll('.strip button').length") == 24
    follow(person, "2")
    assert person.value("document.querySelectorAll('.strip button').length") == 7
    names = person.value("[...document.querySelectorAll('.strip button')].map(b => b.title)")
    assert HOSTILE in names or "29.png" in names
    person.wait(f"document.querySelector('{SHOWN}').naturalWidth > 0")
    follow(person, "1 quarantined")
    assert "<b>no picture</b>" in person.text()
    assert person.value("document.querySelector('form button').innerText") == "Try 1 again"
    follow(person, "report")
    assert "a report" in person.text()
    assert person.value("self.origin") == "null", "apart from the pages that have buttons"
    person.logged.clear()  # it was refused to load something


@pytest.mark.usefixtures("plane")
def test_a_repaired_picture_is_tried_again(
    served: Served, person: Browser, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ATELIER_HOME", "ATELIER_CACHE"):  # of the button's command
        monkeypatch.setenv(name, environment[name])
    (served.workspace.root.parent / "photos" / "broken.png").write_bytes(encode(noise(1), "png"))
    person.open(f"{served.address}/jobs")
    follow(person, "holiday")
    person.click("form button")
    person.wait("document.querySelector('.decision')?.innerText === 'done'", within_s=120)
    person.open(f"{served.address}/jobs")
    follow(person, "holiday")
    assert "32 done" in person.text()


def test_datasets_that_came_and_went(served: Served, person: Browser) -> None:
    person.open(f"{served.address}/datasets")
    person.click(".card h3 a")
    person.wait("document.body.innerText.includes('What came and went')")
    person.settle()
    assert "4\t0" in person.text().replace("\n", "")
    assert person.value("document.querySelector('figure img').naturalWidth > 0")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_fit_and_have_their_colours(
    served: Served, person: Browser, size: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("ATELIER_SCREENSHOTS") or tmp_path)
    person.show(size, dark=dark)
    person.open(f"{served.address}/jobs")
    job = person.value("document.querySelector('.card a').pathname")
    for name, place in (("versions", "/"), ("version", "/versions/style-model@v1.2.0"), ("job", job)):
        person.open(f"{served.address}{place}")
        assert person.value("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"
        light = person.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] > 128")
        assert light is not dark
        person.screenshot(folder / f"{name}-{size[0]}-{'dark' if dark else 'light'}.png")
