"""
Measures y = 0.9, then prints each line that is added to the file ``orders``, up to ``end``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


def main() -> None:
    """
    Do as it is told.
    """
    folder = Path(os.environ["HPO_OUTPUT_DIR"])
    (folder / "pid").write_text(str(os.getpid()))
    with (folder / "starts").open("a") as starts:
        starts.write("started\n")
    print('{"y": 0.9}', flush=True)  # noqa: T201 - how metrics are told
    done = 0
    while True:
        orders = (folder / "orders").read_text() if (folder / "orders").exists() else ""
        for line in orders.splitlines()[done:]:
            if line == "end":
                return
            print(line, flush=True)  # noqa: T201
            done += 1
        time.sleep(0.1)


if __name__ == "__main__":
    main()
