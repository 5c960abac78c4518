"""
Servers that end with whoever started them, however that ends.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from airflow_hpo.testing.family import MARK

__all__ = ["environment", "keep"]

# Runs the server until its own standard input ends. That happens when we close
# it, and also when we are killed: no server is ever left behind.
_KEEPER = """
log=$1; shift
"$@" </dev/null >>"$log" 2>&1 &
server=$!
cat >/dev/null
kill -INT "$server" 2>/dev/null && wait "$server"
[ -e "${log%/*}/stays" ] || rm -rf "${log%/*}"
"""


def keep(command: list[str], folder: Path, **account: Any) -> subprocess.Popen[bytes]:
    """
    Start *command*; it ends when the returned process's standard input does.

    Args:
        command: A server that stays in the foreground, and ends on SIGINT.

        folder:
            Its own; gets a file ``log``. It is removed at the end unless it
            holds a file ``stays``.

        account: More options of the process, such as another user.
    """
    return subprocess.Popen(  # noqa: S603 - our own script and binaries
        ["/bin/sh", "-c", _KEEPER, "sh", str(folder / "log"), *command],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env=environment(),
        cwd=folder,
        **account,
    )


def environment() -> dict[str, str]:
    """
    Return what a server inherits: no Airflow's mark, with which it would be ended.
    """
    return {name: value for name, value in os.environ.items() if name != MARK}
