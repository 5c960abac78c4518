"""
The page's own files, and Plotly's script from the package that is installed here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

__all__ = ["FILES", "HEADERS", "REPORT_POLICY", "plotly_script", "tag_of"]

_FOLDER = Path(__file__).parent / "static"

_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

FILES: Mapping[str, tuple[Path, str]] = {
    path.name: (path, _TYPES[path.suffix])
    for path in sorted(_FOLDER.iterdir())
    if path.suffix in _TYPES
}
"""What may be fetched, by name, with its type: nothing else is ever opened."""

HEADERS: Mapping[str, str] = {
    # Scripts come from here alone, none is written into the page, and only
    # Airflow's own UI may put it into a frame.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}
"""Of everything that is served."""


REPORT_POLICY = (
    # Its scripts are written into it: they run as nobody, with no cookie, and
    # reach nothing.
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-scripts allow-downloads allow-popups"
)
"""The policy for a study's report."""


def plotly_script() -> Path | None:
    """
    Return where Plotly's script lies; `None` where the package is not installed.
    """
    found = importlib.util.find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"
    return path if path.is_file() else None


def tag_of(*parts: object) -> str:
    """
    Return an ETag that is another one where any of *parts* is.
    """
    text = "\x00".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return f'"{sha256(text).hexdigest()[:32]}"'
