"""
A job's command in a container: what starts it there, and the variables it sees.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_hpo.errors import TrialInvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.model.job import Job

__all__ = ["MAKE_FOLDERS", "argv", "inside", "refuse_unfit"]

MAKE_FOLDERS = """\
if [ -n "$HPO_PARAMS" ]; then
  mkdir -p "$HPO_OUTPUT_DIR" "$HPO_CHECKPOINT_DIR" "$HPO_SHARED_DIR" || exit 1
  printf '%s\\n' "$HPO_PARAMS" > "$HPO_PARAMS_FILE" || exit 1
fi
"""
"""What makes, in a container with folders of its own, those that its variables name."""

# The container's first process. It joins errors and output, so that they keep
# their order; makes the folders and the file that the variables name; and hands
# SIGTERM on to the command and what that started: the first process of a
# container ignores it otherwise. Then it waits for all of them: a shell among
# them ends at once, and what it started still saves its state. What a shell says
# of its child's end is not the command's output. Whatever is left when it is over
# ends with the container.
_FIRST = """\
exec 2>&1
FOLDERS
group_of() {
  read -r stat < "$1" || return
  set -- ${stat##*) }
  [ "$1" = Z ] || echo "$3"
}
others() {
  for each in /proc/[0-9]*/stat; do
    [ "$each" != "/proc/$$/stat" ] && [ "$(group_of "$each")" = "$own" ] && return
  done
  return 1
}
asked=
trap 'asked=1; trap "" TERM; kill -TERM 0' TERM
/bin/sh -c -- "$1" &
exec > /dev/null 2>&1
wait "$!"
code=$?
while kill -0 "$!"; do wait "$!"; code=$?; done
if [ -n "$asked" ]; then
  own=$(group_of "/proc/$$/stat")
  while others; do sleep 0.1 || sleep 1; done
fi
exit "$code"
""".replace("FOLDERS\n", MAKE_FOLDERS)

# The variables that name folders of the machine that submits, and where they
# are in a container that does not see those.
_FOLDERS = {
    "HPO_OUTPUT_DIR": "",
    "HPO_CHECKPOINT_DIR": "/checkpoint",
    "HPO_SHARED_DIR": "/shared",
    "HPO_PARAMS_FILE": "/params.json",
    "HPO_PARENT_CHECKPOINT_DIR": "/parent",
}

# Bytes of the longest argument or variable that Linux passes on.
_LONGEST = 128 * 1024 - 1


def argv(command: str) -> list[str]:
    """
    Return the words that run *command*, a line for a POSIX shell, in a container.
    """
    return ["/bin/sh", "-c", _FIRST, "hpo", command]


def inside(job: Job, root: str | None) -> dict[str, str]:
    """
    Return the variables of *job* as they are right in a container.

    Args:
        job: What runs there.

        root: Folder of the container that stands for the workspace; `None`
            where the container sees the workspace itself.
    """
    found = {"PYTHONUNBUFFERED": "1", **job.environment}
    if root is None:
        return found
    # An address of this machine means another place there.
    found = {name: text for name, text in found.items() if not _is_here(name, text)}
    found |= {name: f"{root}{place}" for name, place in _FOLDERS.items() if name in found}
    here = {name: f"{root}{place}" for name, place in _FOLDERS.items()}
    here.pop("HPO_PARENT_CHECKPOINT_DIR")
    return {**here, **found, "HPO_PARAMS": json.dumps(dict(job.configuration))}


def _is_here(name: str, text: str) -> bool:
    return name.startswith("HPO_") and name.endswith("_URI") and text.startswith("file:")


def refuse_unfit(command: str, environment: Mapping[str, str], *, most: int) -> None:
    """
    Refuse what no container can be started with.

    Args:
        command: The shell line.

        environment: Its variables.

        most: Bytes that the service takes of both together.

    Raises:
        TrialInvalidError: If that is so.
    """
    reason, total = None, 0
    for name, value in {"": command, **environment}.items():
        if "\0" in name + value or "=" in name:
            reason = "neither commands nor variables hold NUL, nor their names '='"
        size = len(f"{name}={value}".encode("utf-8", "surrogatepass"))
        total += size
        if size > _LONGEST or total > most:
            reason = "it is longer, or has a longer environment, than the system passes on"
        if not _is_text(name + value):
            reason = "commands and variables must be valid Unicode"
    if reason is not None:
        raise TrialInvalidError(f"the command cannot be started: {reason}")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
