"""
Does what the file ``plan.json`` in its trial's folder says; else it prints x + 1.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """
    Print and sleep, as planned.
    """
    folder = Path(os.environ["HPO_OUTPUT_DIR"])
    (folder / "pid").write_text(str(os.getpid()))
    try:
        plan = json.loads((folder / "plan.json").read_text())
    except FileNotFoundError:
        plan = [["y", 1 + float(sys.argv[1])]]
    for what, value in plan:
        if what == "sleep":
            time.sleep(value)
        else:
            print(json.dumps({what: value}), flush=True)  # noqa: T201 - how metrics are told


def ended(news: object) -> None:
    """
    Note that a study ended.
    """
    with Path(__file__).with_suffix(".told").open("a") as file:
        file.write(f"{news.study}: {news.stop.reason}\n")


if __name__ == "__main__":
    main()
