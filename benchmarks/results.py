"""
What the benchmarks share: results as JSON that can be added to, and tables of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import airflow_hpo

__all__ = [
    "RESULTS",
    "Results",
    "digest_of",
    "markdown",
    "one_thread",
    "own_code",
    "versions",
    "write_block",
]

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

_PACKAGES = ("numpy", "scipy", "scikit-learn", "optuna", "hyperopt", "cmaes", "sqlalchemy")


def one_thread() -> None:
    """
    Keep linear algebra to one thread; to be called before numpy is loaded.
    """
    for name in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"


def versions() -> dict[str, str]:
    """
    Return the versions of what takes part.
    """
    found = {"airflow-provider-hpo": airflow_hpo.__version__}
    installed = {each.name: each.version for each in distributions()}
    return found | {name: installed[name] for name in _PACKAGES if name in installed}


@cache
def surroundings() -> dict[str, Any]:
    """
    Return where and when something is measured.
    """
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "revision": revision or None,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": versions(),
    }


def own_code(*rooms: str) -> list[Path]:
    """
    Return the files of our own *rooms*, such as ``strategies``.
    """
    root = Path(airflow_hpo.__file__).parent
    return sorted(file for room in rooms for file in (root / room).rglob("*.py"))


def digest_of(files: Iterable[Path]) -> str:
    """
    Return a digest of *files* and of the versions: what a result depends on.
    """
    found = hashlib.sha256(json.dumps(versions()).encode())
    for file in files:
        found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()[:12]


class Results:
    """
    Results in a file, by the names of what was measured; saved as they come.

    What was measured with other code is measured again; the rest is kept, so
    that a run which was broken off, or done in parts, goes on.

    Args:
        file: Where; `None` to keep them in memory only.

        protocol: How it is measured. Results of another protocol are refused.
    """

    def __init__(self, file: Path | None, protocol: Mapping[str, Any]) -> None:
        self._file = file
        old = json.loads(file.read_text("utf-8")) if file is not None and file.exists() else {}
        if old and old["protocol"] != protocol:
            sys.exit(f"{file} was measured with {old['protocol']}; choose another file with --json")
        self.data: dict[str, Any] = {"protocol": protocol, "where": {}, "cells": {}, **old}

    def cell(self, names: Sequence[str], code: str, *, again: bool = False) -> dict[str, Any]:
        """
        Return what was measured before under *names*, with the same *code*; else empty.
        """
        found: dict[str, Any] = self.data["cells"]
        for name in names:
            found = found.setdefault(name, {})
        if again or found.get("code") != code:
            found.clear()
            found["code"] = code
        return found

    def where(self, script: str) -> str:
        """
        Return in a sentence when, with what and on what *script* measured.
        """
        where = self.data["where"]
        packages = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
        return (
            f"Measured on {where['date']} with `{script}` on a {where['system']} machine with "
            f"{where['cores']} cores, Python {where['python']}, {packages}."
        )

    def save(self) -> None:
        """
        Write the file, whole or not at all.
        """
        self.data["where"] = surroundings()
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        part = self._file.with_suffix(".part")
        part.write_text(_compact(self.data) + "\n", "utf-8")
        part.replace(self._file)


def _compact(data: object) -> str:
    """
    Return JSON in which lists of plain values stand on one line.
    """
    text = json.dumps(data, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """
    Return a table, the first row as its head.
    """
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def write_block(name: str, text: str) -> None:
    """
    Write *text* into the documentation's page, where its block is.
    """
    page = PAGE.read_text("utf-8")
    end = "<!-- end of what was measured -->"
    block = re.compile(rf"(<!-- measured: {name} -->\n).*?({end})", re.DOTALL)
    if not block.search(page):
        sys.exit(f"{PAGE} has no block {name!r}")
    PAGE.write_text(block.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page), "utf-8")
