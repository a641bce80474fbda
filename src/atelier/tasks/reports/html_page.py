"""The look of a report: one HTML file, to be opened anywhere without a network.

Pictures are data URIs, and every word that comes from a file is escaped.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from atelier import __version__
from atelier.tasks.images.codec import Pixels, encode, resize

TEMPLATE = Path(__file__).parent / "template" / "report.html"


def page(name: str, version: str, lead: str, sections: Mapping[str, str]) -> bytes:
    """The page. Sections without content are left out, and its last lines say so.

    Args:
        name: the title.
        version: a line under it, or "".
        lead: paragraphs, as HTML.
        sections: contents by title, as HTML.
    """
    body = "\n".join(
        f'<section id="{title.lower().replace(" ", "-")}"><h2>{title}</h2>{content}</section>'
        for title, content in sections.items()
        if content
    )
    missing = [title.lower() for title, content in sections.items() if not content]
    note = f"Not there yet, and left out: {', '.join(missing)}." if missing else ""
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"{name} {version}".strip()),
        name=escape(name),
        version=f'<p class="version">{escape(version)}</p>' if version else "",
        lead=lead,
        body=body,
        note=escape(note),
        atelier=escape(__version__),
    )
    return text.encode()


def data_uri(picture: Pixels, most_px: int) -> str:
    """A picture (H, W, 3) as part of a page, shrunk to a width."""
    height, width = picture.shape[:2]
    if width > most_px:
        picture = resize(picture, most_px, max(1, round(height * most_px / width)))
    return "data:image/jpeg;base64," + base64.b64encode(encode(picture, "jpeg", quality=88)).decode()


def before_and_after(pairs: Sequence[tuple[str, str]], caption: str) -> str:
    """A slider over one pair of pictures, and a strip of pairs to choose from.

    Args:
        pairs: data URIs.
        caption: what they are.
    """
    if not pairs:
        return ""
    before_uri, after_uri = pairs[0]
    strip = "".join(
        f'<button type="button" aria-label="pair {i}"{" aria-current=true" if i == 1 else ""}>'
        f'<img src="{before}" alt="before"><img src="{after}" alt="after"></button>'
        for i, (before, after) in enumerate(pairs, 1)
    )
    return (
        '<figure class="stage"><div class="compare">'
        f'<img class="after" src="{after_uri}" alt="after"><img class="before" src="{before_uri}" alt="before">'
        '<span class="tag left">photograph</span><span class="tag right">stylized</span><span class="handle"></span>'
        '<input type="range" min="0" max="100" value="50" aria-label="how much of the photograph is shown"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        f'<div class="strip">{strip}</div>'
    )


def rows(head: Sequence[str], found: Sequence[Sequence[str]]) -> str:
    """A table of words."""
    columns = "".join(f"<th>{escape(name)}</th>" for name in head)
    cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in found)
    shown = "".join(f"<tr>{row}</tr>" for row in cells)
    return (
        f'<div class="wide"><table class="plain"><thead><tr>{columns}</tr></thead><tbody>{shown}</tbody></table></div>'
    )


def figure(uri: str, caption: str) -> str:
    """A wide picture, given as a data URI, that scrolls on narrow screens."""
    picture = f'<div class="wide"><img src="{uri}" alt="{escape(caption)}"></div>'
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def details(summary: str, content: str) -> str:
    """Content that opens with a click; "" where there is none."""
    return f"<details><summary>{summary}</summary>{content}</details>" if content else ""


def facts(known: object) -> str:
    """Names and values, nested names joined by dots; empty when there is nothing to tell."""
    pairs = _flat(known, "") if isinstance(known, dict) else []
    lines = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f"<dl>{lines}</dl>" if lines else ""


def _flat(facts: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, dict):
            flat += _flat(value, f"{name} · ")
        elif isinstance(value, str) and len(value) == 64 and value.isalnum():
            flat.append((name, value[:12]))  # a sha256: its beginning tells it apart
        elif isinstance(value, list):
            flat.append((name, ", ".join(map(str, value))))
        else:
            # a parameter is shown as it was written, a count with its thousands apart
            flat.append((name, f"{value:,}" if type(value) is int else str(value)))
    return flat
