"""
GPUs that files of other tools ask for, by the names that clusters have for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.own import OWN
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN, Whole
from airflow_hpo.model.blueprint import Step, TrialSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_hpo.blueprint.dialects.writing import Losses
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["GPU", "Resources", "read_devices", "read_limits", "whole_gpus", "without_gpus"]

GPU = "nvidia.com/gpu"
"""What most clusters call a GPU."""

# Whole devices of the kind that trials are given; parts of one (MIG's) and other kinds are others,
# as a pod that asks for both gets neither.
_GPUS = (GPU, "gpu")

_LIMITS, _REQUESTS = "limits", "requests"

# Where one begins, the file's own tool fills a value in.
_TEMPLATES = ("{{", "${")

_MOST = 2**31

_ITEM = "a top-level item - hpo: {{task: NAME, gpus: {}}}"


@dataclass
class Resources:
    """
    What a file asks for.

    Args:
        path: Where it does.

        gpus: How many GPUs, and where that stands; `None` where it says nothing of them.

        others: Names of all else, each once.

        section: Our own section with a number of GPUs, as one writes it in the file.
    """

    path: Path
    gpus: tuple[float, Path] | None = None
    others: dict[str, None] = field(default_factory=dict)
    section: str = f"{OWN}: {{{{gpus: {{}}}}}}"

    def say_others(self, why: str, problems: Problems, *, hint: str | None = None) -> None:
        """
        Warn that all but the GPUs has no effect.
        """
        if self.others:
            has = "has" if len(self.others) == 1 else "have"
            message = f"{', '.join(self.others)} {has} no effect: {why}"
            problems.warn(self.path, message, hint=hint, at_key=True)


@dataclass(frozen=True)
class _Entry:
    name: str
    value: Any
    path: Path


def read_limits(given: Any, path: Path, problems: Problems, *, by_name: bool = False) -> Resources:  # noqa: ANN401
    """
    Return what ``{limits: {NAME: COUNT}, requests: {NAME: COUNT}}`` asks for.

    Args:
        given: The mapping, as it stands in the file.

        path: Where.

        problems: Gets what is wrong with it.

        by_name: Whether it may be ``{NAME: {limits: COUNT, requests: COUNT}}`` as well.
    """
    limits, requests, found = list[_Entry](), list[_Entry](), Resources(path)
    sides = {_LIMITS: limits, _REQUESTS: requests}
    for outer in _entries(given, path, problems):
        if outer.name in sides:
            sides[outer.name] += _entries(outer.value, outer.path, problems)
        elif not by_name:
            found.others[outer.name] = None
        else:
            for inner in _entries(outer.value, outer.path, problems):
                side = sides.get(inner.name)
                if side is None:
                    message = f"must be {_LIMITS} or {_REQUESTS}, got {show(inner.name)}"
                    problems.error(inner.path, message, at_key=True)
                else:
                    side.append(_Entry(outer.name, inner.value, inner.path))
    return _read([*limits, *requests], found, problems)


def read_devices(given: Any, path: Path, problems: Problems) -> Resources:  # noqa: ANN401
    """
    Return what ``{devices: {NAME: COUNT}, ...}`` asks for; arguments as in `read_limits`.
    """
    found, devices = Resources(path, section=_ITEM), list[_Entry]()
    for entry in _entries(given, path, problems):
        if entry.name == "devices":
            devices += _entries(entry.value, entry.path, problems)
        elif entry.value not in (None, {}):
            found.others[entry.name] = None
    return _read(devices, found, problems, least=1)


def _entries(given: Any, path: Path, problems: Problems) -> list[_Entry]:  # noqa: ANN401
    if isinstance(given, dict):
        return [_Entry(name, value, (*path, name)) for name, value in given.items()]
    if given is not None:
        problems.error(path, f"must be a mapping, got {show(given)}")
    return []


def _read(
    entries: Iterable[_Entry], found: Resources, problems: Problems, *, least: int = 0
) -> Resources:
    for entry in entries:
        if entry.name not in _GPUS:
            found.others[entry.name] = None
            continue
        count = None if entry.value is None else _count(entry, least, found, problems)
        if count is None:
            continue
        found.gpus = found.gpus or (count, entry.path)
        if found.gpus[0] != count:
            message = f"must be as many as {_LIMITS} has, {found.gpus[0]:g}, got {count:g}"
            problems.error(entry.path, message)
    return found


def _count(entry: _Entry, least: int, found: Resources, problems: Problems) -> float | None:
    """
    Return a number of devices, which may be quoted; `None` where it is none.
    """
    value, text = entry.value, entry.value if isinstance(entry.value, str) else ""
    if any(mark in text for mark in _TEMPLATES):
        message = f"has no effect: here it must be a number, got {show(value)}"
        problems.warn(entry.path, message, hint=f"write {found.section.format(1)}")
        return None
    if text.isascii() and text.isdecimal():
        value = int(text)
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    elif isinstance(value, float) and 0 < value < 1:
        hint = f"write {found.section.format(value)} for a share of one"
        problems.error(entry.path, f"must be a whole number, got {show(value)}", hint=hint)
        return None
    read = Whole(least=least, below=_MOST).read(value, entry.path, problems)
    return None if read is BROKEN else float(read)


def without_gpus(given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what `read_limits` read, but for the GPUs, which whoever runs a trial adds.
    """
    return {
        side: {name: amount for name, amount in amounts.items() if name not in _GPUS}
        if isinstance(amounts, dict)
        else amounts
        for side, amounts in given.items()
    }


def whole_gpus(trial: TrialSpec, losses: Losses) -> int:
    """
    Return the one number of GPUs, a whole one, that is written for all steps of *trial*.
    """
    most = max((step.gpus for step in trial.steps), default=0.0)
    whole = math.ceil(most)
    first = trial.steps[0]
    if whole != most:
        losses.say("trial.gpus", f"there are whole ones only; {whole} is written")
    elif most and (len(trial.steps) > 1 or first.name != Step().name or first.runner is not None):
        losses.say("trial.gpus", f"there is one step, which is given {whole}")
    return whole
