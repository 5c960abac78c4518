"""
One Experiment: its parts, from the file to the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks import Draft
from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.katib.command import PARAMETER, Writer, command_of
from airflow_hpo.blueprint.dialects.katib.keys import FILE, REQUIRED, WITHOUT_EFFECT
from airflow_hpo.blueprint.dialects.katib.metrics import FORMATS, read_metrics
from airflow_hpo.blueprint.dialects.katib.search import (
    PARALLEL,
    read_budget,
    read_pruner,
    read_resource,
    read_search,
    read_strategy,
)
from airflow_hpo.blueprint.dialects.katib.space import PARAMETERS, Found, read_space
from airflow_hpo.blueprint.dialects.katib.template import (
    TEMPLATE,
    Container,
    read_container,
    read_references,
)
from airflow_hpo.blueprint.dialects.own import (
    OWN,
    execution_of,
    own_of,
    places_of,
    step_of,
    study_name,
    trial_of,
)
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import Retries, RunnerSpec, Step, TrialSpec
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.stop import MetricRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.stop import StopRule
    from airflow_hpo.model.values import Value

__all__ = ["read_draft"]

_SPEC = ("spec",)
_OBJECTIVE = ("spec", "objective")


def read_draft(given: Mapping[str, Value], problems: Problems) -> Draft:
    """
    Return the parts of the study in a file.
    """
    data = FILE.read(given, (), problems)
    own, spec = own_of(data), data.get("spec", {})
    _say_what_is_missing(given, own, problems)
    metadata = data.get("metadata", {})
    name = own.get("name") or study_name(
        problems, metadata.get("name"), metadata.get("generateName"), otherwise="experiment"
    )
    goes_on = spec.get("resumePolicy", "Never") != "Never"
    draft = Draft(
        name=name,
        study=name if goes_on else None,
        placeholder="${{trialParameters.{name}}}",
        objectives=_objectives(spec, own, problems),
        stop=_goal(spec, problems),
    )
    _relocate(own, problems)
    found = _search(draft, given, spec, own, problems)
    if "trialTemplate" in spec:
        draft.trial = _trial(data, own, found, problems)
    draft.pruner = read_pruner(spec.get("earlyStopping"), problems)
    draft.budget = read_budget(spec, draft, problems)
    draft.execution = _execution(spec, draft, problems)
    _say_what_has_no_effect(data, problems)
    return draft


def _say_what_is_missing(
    given: Mapping[str, Value], own: Mapping[str, Any], problems: Problems
) -> None:
    spec = given.get("spec")
    if not isinstance(spec, dict):
        return
    for name, hint in REQUIRED.items():
        if name not in spec and not (name == "algorithm" and "strategy" in own):
            problems.error((*_SPEC, name), "must be given", hint=hint, at_key=True)
    if "nasConfig" in spec:
        message = "must not be given: architectures are not searched"
        problems.error((*_SPEC, "nasConfig"), message, at_key=True)


def _relocate(own: Mapping[str, Any], problems: Problems) -> None:
    strategy: Path = (OWN, "strategy") if "strategy" in own else (*_SPEC, "algorithm")
    command: Path = (OWN, "command") if "command" in own else (*TEMPLATE, "trialSpec")
    metrics = (OWN, "metrics") if "metrics" in own else FORMATS
    trials = (*_SPEC, "maxTrialCount")
    problems.relocate(
        {
            ("name",): ("metadata", "name"),
            ("study",): (*_SPEC, "resumePolicy"),
            ("objective",): _OBJECTIVE,
            ("space",): PARAMETERS,
            ("strategy",): strategy,
            ("strategy", "name"): strategy,
            ("strategy", "options"): strategy,
            ("pruner",): (*_SPEC, "earlyStopping"),
            ("stop",): (*_OBJECTIVE, "goal"),
            ("resource",): strategy,
            ("resource", "name"): strategy,
            ("budget",): trials,
            ("budget", "trials"): trials,
            ("execution",): (*_SPEC, "parallelTrialCount"),
            ("trial",): (*TEMPLATE,),
            ("trial", "steps", 0): command,
            ("trial", "steps", 0, "command"): command,
            **places_of(own),
            ("trial", "runner", "pod"): (*TEMPLATE, "trialSpec", "spec", "template"),
            ("trial", "metrics"): metrics,
            ("trial", "metrics", "format"): metrics,
        }
    )


def _objectives(
    spec: Mapping[str, Any], own: Mapping[str, Any], problems: Problems
) -> tuple[Objective, ...]:
    given = spec.get("objective")
    if given is None:
        return ()
    metric, direction = given["objectiveMetricName"], given["type"]
    more = given.get("additionalMetricNames") or []
    if metric in more:
        message = f"must not have the objective's metric, got {metric}"
        problems.error((*_OBJECTIVE, "additionalMetricNames", more.index(metric)), message)
    value = {"minimize": "min", "maximize": "max"}[direction]
    for index, item in enumerate(given.get("metricStrategies") or ()):
        if item is BROKEN:
            continue
        if item["name"] == metric:
            value = {"latest": "last"}.get(item["value"], item["value"])
        else:
            message = f"has no effect: only a value of the objective, {metric}, is chosen"
            problems.warn((*_OBJECTIVE, "metricStrategies", index), message)
    value = own.get("value", value)
    return (Objective(metric=metric, direction=direction, value=value),)


def _goal(spec: Mapping[str, Any], problems: Problems) -> dict[int, StopRule]:
    """
    Return the rule that ends the study when a trial has reached the goal.
    """
    given = spec.get("objective", {})
    if given.get("goal") is None or problems.touches(_OBJECTIVE):
        return {}
    bound = "at_least" if given["type"] == "maximize" else "at_most"
    rule = {"metric": given["objectiveMetricName"], bound: given["goal"]}
    return {0: MetricRule.model_validate(rule)}


def _search(
    draft: Draft,
    given: Mapping[str, Value],
    spec: Mapping[str, Any],
    own: Mapping[str, Any],
    problems: Problems,
) -> Found:
    """
    Fill in the strategy of *draft*, its resource and its space; return what is searched.
    """
    search = read_search(spec.get("algorithm"), own, problems)
    raw: Any = given.get("spec")
    items = spec.get("parameters", ())
    resource = search.settings.get("resource_name")
    found = read_space(items, raw["parameters"] if items else (), resource, problems)
    draft.parameters, draft.broken = found.parameters, found.broken
    draft.resource = read_resource(search, found.given, problems)
    parallel = spec.get("parallelTrialCount") or PARALLEL
    draft.strategy = read_strategy(search, own, parallel, problems)
    return found


def _trial(
    data: Mapping[str, Any], own: Mapping[str, Any], found: Found, problems: Problems
) -> TrialSpec | None:
    """
    Return how one configuration is evaluated, or note why it cannot be.
    """
    spec = data["spec"]
    template, values = spec["trialTemplate"], trial_of(own)
    runner: RunnerSpec = values.get("runner", RunnerSpec())
    references, places = read_references(template, found, problems)
    container = read_container(
        template, problems, needed="command" not in own, in_pod=runner.name in _IMAGES
    )
    if "metrics" not in values:
        values["metrics"] = read_metrics(spec, _names(spec), problems)
    made = (own["command"], "braces") if "command" in own else None
    if container is not None:
        _fill_in(values, container, runner, data)
        problems.relocate({("trial", "steps", 0, "command"): (*container.path, "command")})
        if made is None:
            writer = Writer(found, references, places, frozenset(container.environment))
            command = command_of(container, writer, problems)
            made = None if command is None else (command, writer.language)
    if made is None or values["metrics"] is None:
        return None
    asked = None if container is None else container.resources.gpus
    step = {"command": made[0], "template": made[1], **step_of(own, problems, asked=asked)}
    return build(TrialSpec, {**values, "steps": (Step.model_validate(step),)}, TEMPLATE, problems)


# Runners of containers, and whether they take the whole pod.
_IMAGES = {"kubernetes": True, "docker": False, "aws_batch": False}


def _names(spec: Mapping[str, Any]) -> list[str]:
    """
    Return the names of all metrics that are collected.
    """
    given = spec.get("objective", {})
    names = [given.get("objectiveMetricName"), *(given.get("additionalMetricNames") or ())]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _fill_in(
    values: dict[str, Any], container: Container, runner: RunnerSpec, data: Mapping[str, Any]
) -> None:
    """
    Add what the Job says to what our own section says, which wins.
    """
    plain = {name: text for name, text in container.environment.items() if PARAMETER not in text}
    values["environment"] = {**plain, **values["environment"]}
    if values["timeout_s"] is None:
        values["timeout_s"] = container.settings.get("timeout_s")
    if "retries" in container.settings:
        values["retries"] = Retries(code=container.settings["retries"])
    options: dict[str, Any] = {}
    if _IMAGES.get(runner.name):
        options = {"pod": container.pod, "container": container.name}
        namespace = data.get("metadata", {}).get("namespace")
        options |= {} if namespace is None else {"namespace": namespace}
    elif runner.name == "docker" and container.image is not None:
        options = {"image": container.image}
    if options:
        values["runner"] = RunnerSpec(name=runner.name, options={**options, **runner.options})


def _execution(spec: Mapping[str, Any], draft: Draft, problems: Problems) -> Any:  # noqa: ANN401
    path = (*_SPEC, "parallelTrialCount")
    given = spec.get("parallelTrialCount")
    most = None if draft.budget is None else draft.budget.trials
    parallel = given or PARALLEL
    if most is not None and parallel > most:
        if given is not None:
            message = f"should be at most maxTrialCount, {most}, got {given}"
            problems.warn(path, message, hint=f"write parallelTrialCount: {most}")
        parallel = most
    return execution_of(draft, parallel)


def _say_what_has_no_effect(data: Mapping[str, Any], problems: Problems) -> None:
    for path, why in WITHOUT_EFFECT.items():
        holder: Any = data
        for part in path[:-1]:
            holder = holder.get(part, {})
        if path[-1] in holder and not problems.touches(path):
            problems.warn(path, f"has no effect: {why}", at_key=True)
    runner = own_of(data).get("runner")
    name = runner.get("name") if isinstance(runner, dict) else runner
    metadata = data.get("metadata", {})
    if "namespace" in metadata and name != "kubernetes":
        message = "has no effect: there is no cluster"
        problems.warn(("metadata", "namespace"), message, at_key=True)
    for key in metadata.keys() - {"name", "generateName", "namespace", "labels", "annotations"}:
        problems.warn(("metadata", key), "has no effect: it is a cluster's", at_key=True)
