"""
Executions that work together: each waits until all are there, and learns where the others are.

They meet in a folder that all of them see, such as the study's on one machine
or on a disk that several share.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import TrialFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["addresses", "assemble"]

# How often one looks whether the others are there, in seconds.
_PAUSE_S = 0.2

# How long one waits for the others, in seconds: queues may be long, but a group
# of more members than there is room for would wait for ever.
_PATIENCE_S = 3600.0


def assemble(
    folder: Path,
    member: int,
    *,
    count: int,
    about: Mapping[str, Any],
    ended: Callable[[], bool],
    patience_s: float = _PATIENCE_S,
) -> Sequence[Mapping[str, Any]] | None:
    """
    Announce one member of a group and return what all of them announced.

    Who comes again, because it is tried again, takes the place of what it was.

    Args:
        folder: Where they meet; made if missing.

        member: Its number: 0, 1 ... *count* - 1.

        count: How many there are.

        about: What it tells the others, JSON-compatible.

        ended: Asked whether to wait no longer; `None` is returned then.

        patience_s: Seconds to wait for the others.

    Raises:
        TrialFailedError: If they did not come.
    """
    _announce(folder, member, about)
    deadline = time.monotonic() + patience_s
    while True:
        found = [_read(folder / f"{number}.json") for number in range(count)]
        there = [item for item in found if item is not None]
        if len(there) == count:
            return there
        if ended():
            return None
        if time.monotonic() >= deadline:
            raise TrialFailedError(
                f"{count} executions must be there at once, got {len(there)} "
                f"within {patience_s:g} s; there must be room for all to run side by side"
            )
        time.sleep(_PAUSE_S)


def _announce(folder: Path, member: int, about: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{member}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(dict(about), file)
    os.replace(temporary, folder / f"{member}.json")  # noqa: PTH105 - two texts


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return found


def addresses() -> list[str]:
    """
    Return this machine's addresses as others would reach it, the most likely one first.
    """
    found = []
    with suppress(OSError), closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; chooses the way out
        found.append(probe.getsockname()[0])
    with suppress(OSError):
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    return list(dict.fromkeys([*found, "127.0.0.1"]))
