"""HTML pages: one file each, to be opened anywhere without a network.

The templates are Jinja2's, with autoescape: whatever is put into one is text, but for what is `Markup` already.
"""

import base64
from collections.abc import Mapping
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from atelier.tasks.images.codec import Pixels, encode, resize
from atelier.tasks.reports.charts import number
from atelier.version import __version__

MACROS = "macros.html.j2"  # what several reports show
BASE = "base.html.j2"  # the page of one file
ASSETS = ("gallery.css", "page.js", "sign-in.js")  # what served pages name


def page(
    name: str, version: str, lead: Markup, sections: Mapping[str, Markup], template_name: str = BASE, **more: object
) -> bytes:
    """The page of sections, contents by title. Those without content are left out, and its last lines say so.

    Args:
        template_name: `BASE`, or a template that extends it and takes `more`.
    """
    template = _environment().get_template(template_name)
    text = template.render(
        title=f"{name} {version}".strip(),
        name=name,
        version=version,
        lead=lead,
        sections=sections,
        missing=[title.lower() for title, content in sections.items() if not content],
        atelier=__version__,
        **more,
    )
    return text.encode()


def render(template: str, macro: str, **arguments: object) -> Markup:
    """A part of a page: what a macro of a template makes of its arguments; empty where it shows nothing.

    Raises:
        jinja2.UndefinedError: an argument is missing.
    """
    html: Markup = getattr(_environment().get_template(template).module, macro)(**arguments)
    return html.strip()


def asset(name: str) -> bytes:
    """The style or script of `ASSETS` with this name."""
    return _environment().get_template(f"{name}.j2").render().encode()


def data_uri(picture: Pixels, most_px: int, quality: int = 88) -> str:
    """A picture (H, W, 3) as part of a page, shrunk to a width."""
    height, width = picture.shape[:2]
    if width > most_px:
        picture = resize(picture, most_px, max(1, round(height * most_px / width)))
    return "data:image/jpeg;base64," + base64.b64encode(encode(picture, "jpeg", quality=quality)).decode()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """The one that renders all HTML."""
    environment = Environment(
        loader=PackageLoader("atelier.tasks.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "flat": _flat}
    return environment


def _flat(known: object, prefix: str = "") -> list[tuple[str, str]]:
    """Names and values, nested names joined by dots; nothing where `known` is no mapping."""
    flat: list[tuple[str, str]] = []
    for key, value in known.items() if isinstance(known, Mapping) else ():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            flat += _flat(value, f"{name} · ")
        elif isinstance(value, str) and len(value) == 64 and value.isalnum():
            flat.append((name, value[:12]))  # a sha256: its beginning tells it apart
        elif isinstance(value, list):
            flat.append((name, ", ".join(map(str, value))))
        else:
            # a parameter is shown as it was written, a count with its thousands apart
            flat.append((name, f"{value:,}" if type(value) is int else str(value)))
    return flat
