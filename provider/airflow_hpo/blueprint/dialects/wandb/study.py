"""
One sweep: its parts, from the file to the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks import Draft
from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.own import (
    OWN,
    execution_of,
    own_of,
    places_of,
    step_of,
    study_name,
    trial_of,
)
from airflow_hpo.blueprint.dialects.wandb.command import ARGUMENTS, DEFAULT, command_of
from airflow_hpo.blueprint.dialects.wandb.keys import FILE, REQUIRED, WITHOUT_EFFECT
from airflow_hpo.blueprint.dialects.wandb.search import read_budget, read_pruner, read_strategy
from airflow_hpo.blueprint.dialects.wandb.space import read_space
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import DagSpec, Step, TrialSpec
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.stop import MetricRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.dialects.wandb.space import Found
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.stop import StopRule
    from airflow_hpo.model.values import Value

__all__ = ["read_draft"]

_COMMAND = ("trial", "steps", 0, "command")


def read_draft(given: Mapping[str, Value], problems: Problems) -> Draft:
    """
    Return the parts of the study in a file.
    """
    data = FILE.read(given, (), problems)
    for name, hint in REQUIRED.items():
        if name not in given:
            problems.error((name,), "must be given", hint=hint, at_key=True)
    own = own_of(data)
    _relocate(data, own, problems)
    project = data.get("project")
    draft = Draft(
        name=own.get("name") or study_name(problems, data.get("name"), otherwise="sweep"),
        description=data.get("description") or "",
        objectives=_objectives(data, own, problems),
        dag=DagSpec(tags=() if project is None else (project,)),
    )
    draft.stop = _target(data, problems)
    texts = data.get("metric_constraints", ())
    draft.outcome_constraints = {at: it for at, it in enumerate(texts) if it is not BROKEN}
    draft.strategy = read_strategy(data, own, draft, problems)
    if "parameters" in data:
        grid = draft.strategy is not None and draft.strategy.name == "grid"
        found = read_space(data["parameters"], ("parameters",), problems, grid=grid)
        draft.parameters, draft.broken = found.parameters, found.broken
        draft.trial = _trial(data, own, found, problems)
    draft.pruner = read_pruner(data, problems)
    draft.budget = read_budget(data, draft, problems)
    draft.execution = _execution(data, own, draft)
    _say_what_has_no_effect(data, problems)
    return draft


def _relocate(data: Mapping[str, Any], own: Mapping[str, Any], problems: Problems) -> None:
    method: Path = (OWN, "strategy") if "strategy" in own else ("method",)
    command: Path = ("program",) if "program" in data else ("command",)
    if "command" in own:
        command = (OWN, "command")
    metric: Path = ("metrics",) if "metrics" in data else ("metric",)
    problems.relocate(
        {
            ("name",): (OWN, "name"),
            ("objective",): metric,
            ("space",): ("parameters",),
            ("strategy",): method,
            ("strategy", "name"): method,
            ("strategy", "options"): method,
            ("outcome_constraints",): ("metric_constraints",),
            ("pruner",): ("early_terminate",),
            ("stop",): ("metric", "target"),
            ("budget",): ("run_cap",),
            ("budget", "trials"): ("run_cap",),
            ("execution",): (OWN, "concurrency"),
            ("trial",): (OWN,),
            ("trial", "steps", 0): command,
            _COMMAND: command,
            **places_of(own),
        }
    )


def _objectives(
    data: Mapping[str, Any], own: Mapping[str, Any], problems: Problems
) -> tuple[Objective, ...]:
    if "metrics" in data:
        if "metric" in data:
            problems.error(("metrics",), "must not be given beside metric", at_key=True)
        found = data["metrics"]
        return () if BROKEN in found else tuple(_objective(item, own) for item in found)
    if "metric" in data:
        return (_objective(data["metric"], own),)
    if problems.touches(("metric",)) or problems.touches(("metrics",)):
        return ()
    hint = "write metric: {name: loss, goal: minimize}"
    judged = "early_terminate" in data or problems.touches(("early_terminate",))
    if judged or data.get("method") in {"bayes", "ax"}:
        problems.error(("metric",), "must be given", hint=hint, at_key=True)
        return ()
    problems.warn(("metric",), "should be given; it is loss, to minimize", hint=hint, at_key=True)
    return (_objective({"name": "loss"}, own),)


def _objective(metric: Mapping[str, Any], own: Mapping[str, Any]) -> Objective:
    return Objective(
        metric=metric["name"],
        direction=metric.get("goal", "minimize"),
        value=own.get("value", "last"),
        reference=metric.get("threshold"),
    )


def _target(data: Mapping[str, Any], problems: Problems) -> dict[int, StopRule]:
    """
    Return the rule that ends the study when a run has reached the target.
    """
    metric = data.get("metric", {})
    if metric.get("target") is None or problems.touches(("metric",)):
        return {}
    bound = "at_least" if metric.get("goal") == "maximize" else "at_most"
    return {0: MetricRule.model_validate({"metric": metric["name"], bound: metric["target"]})}


def _execution(data: Mapping[str, Any], own: Mapping[str, Any], draft: Draft) -> Any:  # noqa: ANN401
    workers = data.get("scheduler", {}).get("num_workers", 1)
    return execution_of(draft, own.get("concurrency", workers))


def _trial(
    data: Mapping[str, Any], own: Mapping[str, Any], found: Found, problems: Problems
) -> TrialSpec | None:
    """
    Return how one configuration is evaluated, or note why it cannot be.
    """
    if "command" in own:
        made = own["command"], "braces"
    else:
        command = _command(data, found, problems)
        if command is None:
            return None
        made = command
    step = {"command": made[0], "template": made[1], **step_of(own, problems)}
    values = {**trial_of(own), "steps": (Step.model_validate(step),)}
    return build(TrialSpec, values, ("trial",), problems)


def _command(data: Mapping[str, Any], found: Found, problems: Problems) -> tuple[str, str] | None:
    path = ("command",)
    if problems.touches(path) or problems.touches((OWN, "command")):
        return None
    words, program = data.get("command", DEFAULT), data.get("program")
    if "command" in data and not {f"${{{name}}}" for name in ARGUMENTS} & set(words):
        message = "should pass the parameters, which are only in the file HPO_PARAMS_FILE names"
        problems.warn(path, message, hint="write ${args} as a word of it")
    if program is None and "command" not in data and "job" in data:
        message = "cannot be run: there is no launch queue"
        hint = "write program: train.py, what the job runs"
        problems.error(("job",), message, hint=hint, at_key=True)
        return None
    return command_of(words, program, found, path, problems)


def _say_what_has_no_effect(data: Mapping[str, Any], problems: Problems) -> None:
    for path, why in WITHOUT_EFFECT.items():
        holder: Any = data
        for part in path[:-1]:
            holder = holder.get(part, {})
        if holder.get(path[-1]) is not None and not problems.touches(path):
            problems.warn(path, f"has no effect: {why}", at_key=True)
    metric = data.get("metric", {})
    if metric.get("impute_while_running", "false") not in (False, "false"):
        message = "has no effect: runs count when they have ended"
        problems.warn(("metric", "impute_while_running"), message, at_key=True)
    for name in data.get("scheduler", {}):
        if name != "num_workers":
            message = "has no effect: there is no launch queue"
            problems.warn(("scheduler", name), message, at_key=True)
