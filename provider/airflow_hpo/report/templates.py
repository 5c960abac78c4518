"""
Text with gaps that the package brings along: the report, starter blueprints.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["read_template", "render_template", "render_text"]

# In the package once it is installed, beside it in a checkout.
_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "templates", _PACKAGE.parent.parent / "templates")


def read_template(name: str) -> str:
    """
    Return the text of the template called *name*.

    Raises:
        FileNotFoundError: If there is none.
    """
    for folder in _FOLDERS:
        path = folder / name
        if path.is_file():
            return path.read_text("utf-8")
    raise FileNotFoundError(f"there is no template called {name!r}")


def render_template(name: str, /, **known: Any) -> str:  # noqa: ANN401 - whatever it shows
    """
    Return the HTML that the template called *name* makes of *known*, all of it escaped.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(read_template(name)).render(known)


def render_text(name: str, /, *, yaml: Callable[[Any], str], **known: Any) -> str:  # noqa: ANN401 - see above
    """
    Return the text that the template called *name* makes of *known*, as it is.

    Args:
        name: Of the template.

        yaml: The filter ``yaml``, which writes a value.

        known: What the template may name.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701 - this is no HTML
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["yaml"] = yaml
    return environment.from_string(read_template(name)).render(known)
