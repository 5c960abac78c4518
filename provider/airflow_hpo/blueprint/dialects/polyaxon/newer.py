"""
Files of version 1.1: an operation with a ``matrix``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.own import OWN, read_own
from airflow_hpo.blueprint.dialects.polyaxon.commands import of_container
from airflow_hpo.blueprint.dialects.polyaxon.keys import (
    ANNOTATED,
    ANNOTATION,
    NEW,
    OWN_SECTION,
    searches,
)
from airflow_hpo.blueprint.dialects.polyaxon.reading import (
    HERE,
    RUNNER_HINT,
    Reading,
    read_matrix,
    read_resources,
    read_rules,
    say_passed_over,
)
from airflow_hpo.blueprint.dialects.polyaxon.shapes import (
    Amount,
    Command,
    Count,
    Given,
    Part,
    Section,
)
from airflow_hpo.blueprint.dialects.polyaxon.statics import merged, read_inputs, read_params
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import Key, ListOf
from airflow_hpo.blueprint.shapes import BROKEN, Text
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["ALGORITHMS", "read_newer"]

ALGORITHMS = {
    "grid": "grid_search",
    "random": "random_search",
    "hyperband": "hyperband",
    "bayes": "bo",
    "mapping": "mapping",
    "iterative": "iterative",
    "hyperopt": "hyperopt",
    "tpe": "tpe",
}
"""Kinds of a matrix, and the plain names of what they mean."""

_POLICIES = ("median", "truncation", "diff", "average")

_REFERENCES = ("path_ref", "url_ref", "hub_ref", "dag_ref")

_ELSEWHERE = {
    "Airflow has its own": ("queue", "namespace", "build", "hooks", "plugins", "presets", "events"),
    "each study is a DAG of its own": (
        *("dependencies", "trigger", "conditions", "skip_on_upstream_skip", "joins"),
    ),
    "trials of one study are never taken from another": ("cache",),
    "it says nothing about the search": (
        *("run_patch", "patch_strategy", "is_preset", "is_approved", "template", "cost"),
    ),
}
"""Keys without an effect here, by the reason."""

_OPERATION = Section(
    {
        "version": Key(Given(), "1.1."),
        "kind": Key(Given(), "operation."),
        "name": Key(Text(), "The operation's name."),
        "description": Key(Text(empty=True), "Of the operation."),
        "tags": Key(ListOf(Text()), "Shown in the UI."),
        "matrix": Key(Given(), "The search."),
        "params": Key(Given(), "Parameters that are not searched."),
        "termination": Key(Given(), "Retries and time limits."),
        "schedule": Key(Given(), "When it is run."),
        "component": Key(Given(), "What a run does."),
        **{name: Key(Given(), "A component elsewhere.") for name in _REFERENCES},
        **{
            name: Key(Given(), "Of no effect here.")
            for names in _ELSEWHERE.values()
            for name in names
        },
        OWN: Key(Given(), "What Polyaxon has no key for."),
    },
    NEW,
)

_BESIDE = {
    "kind": Key(Given(), "The algorithm."),
    "params": Key(Given(), "Parameters that are searched."),
    "seed": Key(Count(least=0), "Of the whole search."),
    "concurrency": Key(Count(least=1), "Runs at the same time."),
    "early_stopping": Key(Given(), "What ends the search, or runs."),
    "tuner": Key(Given(), "Who suggests."),
}

_TERMINATION = Section(
    {
        "max_retries": Key(Count(least=0), "After a failure."),
        "timeout": Key(Amount(above=0), "Seconds a run may take."),
        "ttl": Key(Given(), "Of no effect here."),
        "culling": Key(Given(), "Of no effect here."),
        "probe": Key(Given(), "Of no effect here."),
    },
    NEW,
)

_COMPONENT = Section(
    {
        "inputs": Key(Given(), "Parameters with types and defaults."),
        "run": Key(Given(), "What a run does.", required=True),
        "termination": Key(Given(), "Retries and time limits."),
        **{
            name: Key(Given(), "Of no effect here.")
            for name in (
                *("version", "kind", "name", "description", "tags", "outputs", "presets"),
                *("queue", "namespace", "cache", "plugins", "build", "hooks", "template", "cost"),
                "is_approved",
            )
        },
    },
    NEW,
)

_RUN = Section(
    {
        "kind": Key(Given(), "job."),
        "container": Key(Given(), "What it runs.", required=True),
        **{
            name: Key(Given(), "Of no effect here.")
            for name in ("init", "sidecars", "environment", "connections", "volumes")
        },
    },
    NEW,
)

_CONTAINER = Section(
    {
        "command": Key(Given(), "Words."),
        "args": Key(Given(), "More words."),
        "env": Key(Given(), "Variables."),
        "working_dir": Key(Given(), "Folder it starts in."),
        "resources": Key(Given(), "GPUs."),
        **{
            name: Key(Given(), "Of no effect here.")
            for name in (
                *("name", "image", "image_pull_policy", "volume_mounts", "env_from"),
                *("security_context", "ports", "lifecycle", "liveness_probe", "readiness_probe"),
                *("startup_probe", "stdin", "tty", "termination_message_path"),
            )
        },
    },
    NEW,
)


def read_newer(data: Mapping[str, Value], problems: Problems) -> Reading:
    """
    Return what an operation says.
    """
    reading = Reading(("matrix",), NEW, own=read_own(data, OWN_SECTION, problems))
    part: Part = _OPERATION.read(data, (), problems)
    _check_kind(data, problems)
    _read_search(reading, part.get("matrix"), problems)
    inputs = _read_component(reading, part, problems)
    params = (
        read_params(part.get("params"), ("params",), NEW, problems) if "params" in part.keys else {}
    )
    reading.statics = merged(inputs, params)
    if "termination" in part.keys:
        _read_termination(reading, part.get("termination"), part.place("termination"), problems)
    if "schedule" in part.keys:
        _read_schedule(reading, part.get("schedule"), problems)
    for why, names in _ELSEWHERE.items():
        say_passed_over(part, names, why, problems)
    reading.settings |= {
        name: part.get(name) for name in ("name", "description", "tags") if name in part.keys
    }
    return reading


def _check_kind(data: Mapping[str, Value], problems: Problems) -> None:
    if "version" not in data or "kind" not in data:
        hint = "write version: 1.1 and kind: operation"
        message = "version and kind should be given, as Polyaxon refuses files without them"
        problems.warn((), message, hint=hint, at_key=True)
    version, kind = data.get("version", 1.1), data.get("kind", "operation")
    if version not in (1, 1.0, 1.05, 1.1, "1.1", 2) or isinstance(version, bool):
        problems.error(("version",), f"must be 1.1 where there is a matrix, got {show(version)}")
    if kind != "operation":
        message = f"must be operation where there is a matrix, got {show(kind)}"
        problems.error(("kind",), message)


def _read_search(reading: Reading, given: Value, problems: Problems) -> None:
    path: Path = ("matrix",)
    if not isinstance(given, dict):
        problems.error(path, f"must be a mapping with a kind, got {show(given)}")
        return
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in ALGORITHMS:
        hint = did_you_mean(kind, ALGORITHMS) if isinstance(kind, str) else None
        known = ", ".join(ALGORITHMS)
        if "kind" in given:
            problems.error((*path, "kind"), f"must be one of {known}, got {show(kind)}", hint=hint)
        else:
            hint = "write kind: grid"
            problems.error(path, f"kind must be given, one of {known}", hint=hint, at_key=True)
        return
    name = ALGORITHMS[kind]
    found: Any = searches(NEW, _beside(kind))[name].read(given, path, problems)
    if found is BROKEN:
        reading.broken |= set(given["params"]) if isinstance(given.get("params"), dict) else set()
        return
    reading.algorithm, reading.search, reading.shared = name, found, found
    if "params" in found.keys:
        read_matrix(reading, found.get("params"), (*path, "params"), problems)
    if not found.get("params") and kind != "mapping":
        message = "params must hold a parameter to search, got none"
        problems.error(found.place("params"), message, at_key=True)
    if "early_stopping" in found.keys:
        place = found.place("early_stopping")
        read_rules(reading, found.get("early_stopping"), place, _POLICIES, problems)


def _beside(kind: str) -> Mapping[str, Key]:
    """
    Return the keys that a matrix of this kind has beside its algorithm's.
    """
    without = {"mapping": ("params", "seed", "tuner"), "grid": ("tuner",), "random": ("tuner",)}
    return {name: key for name, key in _BESIDE.items() if name not in without.get(kind, ())}


def _read_component(reading: Reading, part: Part, problems: Problems) -> dict[str, Any]:
    """
    Fill in what a run does; return the component's inputs.
    """
    refs = [name for name in _REFERENCES if name in part.spelled]
    if "component" not in part.keys:
        reading.command_path = part.place(refs[0]) if refs else part.place("component")
        if refs and "command" not in reading.own:
            problems.error(
                reading.command_path,
                "a component elsewhere is not fetched",
                hint=f"put it in as component: ..., or write {OWN}: {{command: ...}}",
                at_key=True,
            )
        elif refs:
            message = f"has no effect: trials run the command of {OWN}"
            problems.warn(reading.command_path, message, at_key=True)
        return {}
    component = _COMPONENT.read(part.get("component"), ("component",), problems)
    if component is BROKEN:
        return {}
    if "termination" in component.keys:
        path = component.place("termination")
        _read_termination(reading, component.get("termination"), path, problems)
    _read_run(reading, component.get("run"), component.place("run"), problems)
    if "inputs" not in component.keys:
        return {}
    return dict(read_inputs(component.get("inputs"), component.place("inputs"), NEW, problems))


def _read_run(reading: Reading, given: Value, path: Path, problems: Problems) -> None:
    own = "command" in reading.own
    kind = given.get("kind", "job") if isinstance(given, dict) else "job"
    if kind != "job":
        if not own:
            message = f"must be job, as others are not supported yet, got {show(kind)}"
            hint = f"or write {OWN}: {{command: ...}}"
            problems.error((*path, "kind"), message, hint=hint)
        return
    run = _RUN.read(given, path, problems)
    if run is BROKEN:
        return
    others = [name for name in run.keys if name not in {"kind", "container"}]
    if _read_annotations(reading, run, problems):
        others.remove("environment")
    if "runner" not in reading.own:
        say_passed_over(run, others, HERE, problems, hint=RUNNER_HINT)
    container = _CONTAINER.read(run.get("container"), run.place("container"), problems)
    if container is not BROKEN:
        _read_container(reading, container, problems)


def _read_annotations(reading: Reading, run: Part, problems: Problems) -> bool:
    """
    Fill in our own keys where they stand as annotations; return whether nothing else does.
    """
    environment = run.get("environment")
    given = environment.get("annotations") if isinstance(environment, dict) else None
    if not isinstance(environment, dict) or not isinstance(given, dict):
        return False
    ours = [name for name in given if name.startswith(ANNOTATION)]
    path = (*run.place("environment"), "annotations")
    found = dict[str, Any]()
    for word in ours:
        name = word.removeprefix(ANNOTATION).replace("-", "_")
        if name not in ANNOTATED:
            known = ", ".join(ANNOTATION + name.replace("_", "-") for name in ANNOTATED)
            problems.error((*path, word), f"must be one of {known}", at_key=True)
            continue
        read = OWN_SECTION.keys[name].shape.read(given[word], (*path, word), problems)
        found |= {} if read is BROKEN else {name: read}
    reading.own = {**found, **reading.own}
    return bool(ours) and len(ours) == len(given) and set(environment) == {"annotations"}


def _read_container(reading: Reading, container: Part, problems: Problems) -> None:
    words = {
        name: _words(container.get(name), container.place(name), problems)
        for name in ("command", "args")
        if name in container.keys
    }
    reading.command_path = container.place("command" if "command" in words else "args")
    if not words and "command" not in reading.own:
        problems.error(container.path, "command or args must be given", at_key=True)
    if None not in words.values() and words:
        reading.command = of_container(words.get("command") or [], words.get("args") or [])
    if "env" in container.keys:
        _read_variables(reading, container.get("env"), container.place("env"), problems)
    if "working_dir" in container.keys:
        reading.settings["workdir"] = container.get("working_dir")
        reading.settings["workdir_path"] = container.place("working_dir")
    path = container.place("resources")
    read_resources(reading, container.get("resources"), path, problems)
    known = {"command", "args", "env", "working_dir", "resources", "name"}
    others = [name for name in container.keys if name not in known]
    if "runner" not in reading.own:
        say_passed_over(container, others, HERE, problems, hint=RUNNER_HINT)


def _words(given: Value, path: Path, problems: Problems) -> list[str] | None:
    items = given if isinstance(given, list) else [given]
    found = []
    for index, item in enumerate(items):
        here = (*path, index) if isinstance(given, list) else path
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            item = str(item)  # noqa: PLW2901 - a word is text
        found.append(Command(empty=True).read(item, here, problems))
    return None if BROKEN in found else found


def _read_variables(reading: Reading, given: Value, path: Path, problems: Problems) -> None:
    if not isinstance(given, list):
        problems.error(path, f"must be a list of {{name: ..., value: ...}}, got {show(given)}")
        return
    for index, item in enumerate(given):
        here = (*path, index)
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            problems.error(here, f"must be {{name: ..., value: ...}}, got {show(item)}")
        elif "value" not in item:
            message = f"must have a value: {item['name']} of a secret or config map is not read"
            problems.error(here, message, hint=f"write it in {OWN}: {{environment: ...}}")
        elif Command(empty=True).read(item["value"], (*here, "value"), problems) is not BROKEN:
            reading.environment[item["name"]] = item["value"]


def _read_termination(reading: Reading, given: Value, path: Path, problems: Problems) -> None:
    found = _TERMINATION.read(given, path, problems)
    if found is BROKEN:
        return
    reading.settings |= {
        name: found.get(key)
        for key, name in (("max_retries", "retries"), ("timeout", "timeout_s"))
        if key in found.keys
    }
    say_passed_over(found, ("ttl", "culling", "probe"), "Airflow has its own", problems)


def _read_schedule(reading: Reading, given: Value, problems: Problems) -> None:
    kind = given.get("kind") if isinstance(given, dict) else None
    if kind == "cron" and isinstance(given.get("cron"), str):
        reading.settings["schedule"] = given["cron"]
        for name in given:
            if name not in {"kind", "cron"}:
                message = "has no effect: Airflow begins when the DAG is switched on"
                problems.warn(("schedule", name), message, at_key=True)
        return
    message = f"must be {{kind: cron, cron: ...}}, got {show(given)}"
    if isinstance(given, dict):
        message = f"must be {{kind: cron, cron: ...}}, got kind {show(kind)}"
    problems.error(("schedule",), message)
