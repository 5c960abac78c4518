"""
The machine's own Chromium, for tests of pages: driven by Playwright, headless.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["lacking", "open_browser"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")

# It runs as root in containers, has no display, and nothing to tell anybody.
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _program() -> str | None:
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def lacking() -> str:
    """
    Return what is missing for `open_browser`, as a reason to skip a test; empty for nothing.
    """
    if importlib.util.find_spec("playwright") is None:
        return "needs the package playwright"
    return "" if _program() else "needs Chromium (Debian's package chromium)"


@contextmanager
def open_browser() -> Iterator[Browser]:
    """
    Lend a browser; every test should have a context of its own in it.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_program(), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
