"""
Files of version 1: ``hptuning``, and ``settings`` of the oldest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.own import OWN, VARIABLES, read_own
from airflow_hpo.blueprint.dialects.polyaxon.commands import joined
from airflow_hpo.blueprint.dialects.polyaxon.keys import OLD, OWN_SECTION, searches
from airflow_hpo.blueprint.dialects.polyaxon.reading import (
    HERE,
    RUNNER_HINT,
    Reading,
    read_matrix,
    read_resources,
    read_rules,
    say_passed_over,
)
from airflow_hpo.blueprint.dialects.polyaxon.shapes import Command, Count, Given, Part, Section
from airflow_hpo.blueprint.dialects.polyaxon.statics import merged, read_inputs, read_values
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import Key, ListOf
from airflow_hpo.blueprint.shapes import BROKEN, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["ALGORITHMS", "read_older"]

ALGORITHMS = ("random_search", "hyperband", "grid_search", "bo")

_POLICIES = ("median", "average", "truncation")

_FILE = Section(
    {
        "version": Key(Given(), "1."),
        "kind": Key(Given(), "group."),
        "name": Key(Text(), "The group's name."),
        "description": Key(Text(empty=True), "Of the group."),
        "tags": Key(ListOf(Text()), "Shown in the UI."),
        "logging": Key(Given(), "Of no effect here."),
        "backend": Key(Given(), "Of no effect here."),
        "framework": Key(Given(), "Of no effect here."),
        "inputs": Key(Given(), "Parameters with types and defaults."),
        "outputs": Key(Given(), "Of no effect here."),
        "declarations": Key(Given(), "Parameters that are not searched."),
        "params": Key(Given(), "The same."),
        "environment": Key(Given(), "Where experiments run."),
        "hptuning": Key(Given(), "The search."),
        "settings": Key(Given(), "The search, in the oldest files."),
        "build": Key(Given(), "Of no effect here."),
        "run": Key(Given(), "What an experiment runs."),
        OWN: Key(Given(), "What Polyaxon has no key for."),
    },
    foreign={"matrix": "write hptuning: {matrix: ...}", "cmd": "write run: {cmd: ...}"},
)

_SEARCH = {
    "seed": Key(Count(least=0), "Of the whole search."),
    "matrix": Key(Given(), "Parameters that are searched."),
    "concurrency": Key(Count(least=1), "Experiments that run at the same time."),
    "early_stopping": Key(Given(), "What ends the search, or experiments."),
    **{name: Key(Given(), "An algorithm.") for name in ALGORITHMS},
}

_RUN = Section({"cmd": Key(Given(), "A shell line, or several.", required=True)})

_ENVIRONMENT = Section(
    {
        "env_vars": Key(Given(), "Variables."),
        "max_restarts": Key(Count(least=0), "After a failure."),
        "resources": Key(Given(), "GPUs."),
        **{
            name: Key(Given(), "Of no effect here.")
            for name in (
                *("node_selector", "affinity", "tolerations", "labels"),
                *("annotations", "service_account", "image_pull_secrets", "restart_policy"),
                *("security_context", "persistence", "outputs", "secret_refs", "configmap_refs"),
                *("config_map_refs", "data_refs", "artifact_refs", "ttl", "log_level", "jobs"),
                *("tensorflow", "pytorch", "mxnet", "horovod", "mpi", "cluster_uuid"),
            )
        },
    }
)


def read_older(data: Mapping[str, Value], problems: Problems) -> Reading:
    """
    Return what a file of version 1 says.
    """
    root = "hptuning" if "hptuning" in data else "settings"
    reading = Reading((root,), OLD, own=read_own(data, OWN_SECTION, problems))
    part: Part = _FILE.read(data, (), problems)
    _check_kind(data, problems)
    _read_search(reading, part, root, problems)
    _read_statics(reading, part, problems)
    _read_run(reading, part, problems)
    _read_environment(reading, part, problems)
    say_passed_over(part, ("logging", "backend", "outputs"), "Airflow has its own", problems)
    if "runner" not in reading.own:
        say_passed_over(part, ("build",), HERE, problems, hint=RUNNER_HINT)
    reading.settings |= {
        name: part.get(name) for name in ("name", "description", "tags") if name in part.keys
    }
    return reading


def _check_kind(data: Mapping[str, Value], problems: Problems) -> None:
    for name, known, usual in (("version", (1, 1.0, "1"), 1), ("kind", ("group",), "group")):
        if name not in data:
            if name == "version" or "settings" not in data:
                message = f"{name} should be given, as Polyaxon refuses files without it"
                problems.warn((), message, hint=f"write {name}: {usual}", at_key=True)
        elif data[name] not in known or isinstance(data[name], bool):
            message = f"must be {usual} where there is hptuning, got {show(data[name])}"
            problems.error((name,), message)


def _read_search(reading: Reading, part: Part, root: str, problems: Problems) -> None:
    if "hptuning" in part.spelled and "settings" in part.spelled:
        message = "must not be given beside hptuning, which means the same"
        problems.error(("settings",), message, at_key=True)
    keys, also = dict(_SEARCH), {}
    if root == "settings":
        keys["logging"] = Key(Given(), "Of no effect here.")
        also = {"concurrent_experiments": "concurrency"}
    shared = Section(keys, also=also).read(part.get(root), (root,), problems)
    if shared is BROKEN:
        return
    reading.shared = shared
    if not shared.get("matrix"):
        given = "matrix" in shared.spelled
        place = (root, "matrix") if given else (root,)
        problems.error(place, "matrix must hold a parameter to search, got none", at_key=True)
    else:
        read_matrix(reading, shared.get("matrix"), (root, "matrix"), problems)
    if "early_stopping" in shared.keys:
        rules = shared.get("early_stopping")
        read_rules(reading, rules, (root, "early_stopping"), _POLICIES, problems)
    _read_algorithm(reading, shared, problems)


def _read_algorithm(reading: Reading, shared: Part, problems: Problems) -> None:
    given = [name for name in shared.keys if name in ALGORITHMS]
    for name in given[1:]:
        message = f"must be the only algorithm, got it beside {given[0]}"
        problems.error(shared.place(name), message, at_key=True)
    if not given:
        reading.algorithm = "grid_search"
        return
    path = shared.place(given[0])
    found: Any = searches(OLD, {})[given[0]].read(shared.get(given[0]), path, problems)
    if found is not BROKEN and len(given) == 1:
        reading.algorithm, reading.search = given[0], found


def _read_statics(reading: Reading, part: Part, problems: Problems) -> None:
    if "params" in part.spelled and "declarations" in part.spelled:
        message = "must not be given beside params, which means the same"
        problems.error(("declarations",), message, at_key=True)
    found = []
    if "inputs" in part.keys:
        found.append(read_inputs(part.get("inputs"), ("inputs",), OLD, problems))
    found += [
        read_values(part.get(name), (name,), problems)
        for name in ("declarations", "params")
        if name in part.keys
    ]
    reading.statics = merged(*found)


def _read_run(reading: Reading, part: Part, problems: Problems) -> None:
    if "run" not in part.keys:
        reading.command_path = ("run",)
        return
    run = _RUN.read(part.get("run"), ("run",), problems)
    if run is BROKEN:
        return
    given = run.get("cmd")
    commands = given if isinstance(given, list) else [given]
    path = reading.command_path = ("run", "cmd")
    shape = Command()
    texts = [
        shape.read(text, (*path, index) if isinstance(given, list) else path, problems)
        for index, text in enumerate(commands)
    ]
    if BROKEN not in texts:
        reading.command = joined(texts)


def _read_environment(reading: Reading, part: Part, problems: Problems) -> None:
    if "environment" not in part.keys:
        return
    found = _ENVIRONMENT.read(part.get("environment"), ("environment",), problems)
    if found is BROKEN:
        return
    if "max_restarts" in found.keys:
        reading.settings["retries"] = found.get("max_restarts")
    if "env_vars" in found.keys:
        given, path = found.get("env_vars"), found.place("env_vars")
        if isinstance(given, list) and all(isinstance(pair, list) for pair in given):
            given = {str(pair[0]): str(pair[-1]) for pair in given if pair}
            reading.environment |= given
        else:
            read: Any = VARIABLES.read(given, path, problems)
            reading.environment |= {} if read is BROKEN else read
    path = found.place("resources")
    read_resources(reading, found.get("resources"), path, problems)
    known = {"env_vars", "max_restarts", "resources"}
    others = [name for name in found.keys if name not in known]
    if "runner" not in reading.own:
        say_passed_over(found, others, HERE, problems, hint=RUNNER_HINT)
