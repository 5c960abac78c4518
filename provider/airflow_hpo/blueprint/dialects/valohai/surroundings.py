"""
What an execution finds around it: its inputs, and values that only its config has.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import PlatformSpec
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.platforms.fetching import SCHEMES, scheme_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.dialects.valohai.commands import Filling
    from airflow_hpo.blueprint.dialects.valohai.items import Item
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["platform_of"]

_PARAMETER = re.compile(r"{parameter:([^{}]+)}")

_KEPT = {"false": "none", "true": "full"}


def platform_of(
    step: Item, fillings: Mapping[str, Filling], *, note: Item | None, problems: Problems
) -> PlatformSpec:
    """
    Return the surroundings of an execution of *step*.

    Args:
        step: Has the inputs.

        fillings: What its parameters are.

        note: May say where inputs are that cannot be fetched as the step says.

        problems: Gets what is wrong.
    """
    options: dict[str, Any] = {"step": step.name}
    # A flag that nobody sets is no part of the space, but is false for the code.
    unset = {
        name: False
        for name, filling in fillings.items()
        if filling.declared.kind == "flag" and not filling.is_searched and filling.value is None
    }
    if unset:
        options["parameters"] = unset
    inputs = _inputs(step, fillings, note, problems)
    if inputs:
        options["inputs"] = inputs
    return PlatformSpec(name="valohai", options=options)


def _inputs(
    step: Item, fillings: Mapping[str, Filling], note: Item | None, problems: Problems
) -> list[dict[str, Any]]:
    given = {} if note is None else note.keys.get("inputs", {})
    found: dict[str, dict[str, Any]] = {}
    for index, keys in enumerate(step.keys.get("inputs", [])):
        if keys is BROKEN:
            continue
        path: Path = (*step.path, "inputs", index)
        name = keys["name"]
        if name in found:
            problems.warn((*path, "name"), f"{show(name)} is there twice; the last one counts")
        uris = keys.get("default", [])
        if note is not None and name in given:
            path, uris = (*note.path, "inputs", name), given[name]
            place = path
        else:
            place = (*path, "default")
            if not _is_given(keys, uris, path, problems):
                continue
        found[name] = _input(keys, uris)
        _check(found[name], fillings, place, problems, optional=keys.get("optional", False))
    if note is not None and "inputs" in step.keys:
        _check_names(note, given, step, problems)
    return list(found.values())


def _is_given(keys: Mapping[str, Any], uris: list[str], path: Path, problems: Problems) -> bool:
    if uris or keys.get("optional", False):
        return True
    if not problems.touches(path):
        message = f"{keys['name']} must have a default: here nobody chooses its files"
        hint = f"or a top-level item - hpo: {{task: NAME, inputs: {{{keys['name']}: data/x.csv}}}}"
        problems.error(path, message, hint=f"write it, {hint}")
    return False


def _input(keys: Mapping[str, Any], uris: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": keys["name"], "uris": list(uris)}
    if keys.get("filename"):
        found["filename"] = keys["filename"]
    kept = str(keys.get("keep-directories", "none")).lower()
    if _KEPT.get(kept, kept) != "none":
        found["keep_directories"] = _KEPT.get(kept, kept)
    return found


def _check(
    found: dict[str, Any],
    fillings: Mapping[str, Filling],
    path: Path,
    problems: Problems,
    *,
    optional: bool,
) -> None:
    """
    Note addresses that lead nowhere from here; optional ones are left out.
    """
    if found.get("filename") and len(found["uris"]) > 1:
        message = f"must be one file where it has a filename, got {len(found['uris'])}"
        problems.error(path, message)
    for uri in list(found["uris"]):
        for name in _PARAMETER.findall(uri):
            if name not in fillings:
                hint = did_you_mean(name, fillings)
                problems.error(path, f"must name parameters, got {{parameter:{name}}}", hint=hint)
        objection = _objection(uri)
        if objection is None:
            continue
        if optional:
            problems.warn(path, f"{objection}; it is left out")
            found["uris"].remove(uri)
        else:
            hint = f"write - hpo: {{task: NAME, inputs: {{{found['name']}: PATH}}}}"
            problems.error(path, objection, hint=hint)


def _objection(uri: str) -> str | None:
    scheme = scheme_of(uri)
    if scheme and scheme not in SCHEMES:
        known = ", ".join(f"{each}://" for each in SCHEMES)
        return f"files are fetched from {known} or a path, got {show(uri)}"
    if scheme in {"http", "https", "s3"} and "*" in uri:
        return f"wildcards stand in paths only, got {show(uri)}"
    return None


def _check_names(note: Item, given: Mapping[str, Any], step: Item, problems: Problems) -> None:
    known = [keys["name"] for keys in step.keys["inputs"] if keys is not BROKEN]
    for name in given:
        if name not in known and BROKEN not in step.keys["inputs"]:
            hint = did_you_mean(name, known)
            message = f"must be an input of the step, got {show(name)}"
            problems.error((*note.path, "inputs", name), message, hint=hint, at_key=True)
