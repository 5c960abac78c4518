"""
From a file's settings to the parts of a study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks import Draft
from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.clearml.keys import SPACES
from airflow_hpo.blueprint.dialects.clearml.metrics import metric_name, objective
from airflow_hpo.blueprint.dialects.clearml.notes import say_what_has_no_effect
from airflow_hpo.blueprint.dialects.clearml.pruner import read_pruner
from airflow_hpo.blueprint.dialects.clearml.settings import read_settings
from airflow_hpo.blueprint.dialects.clearml.space import read_space
from airflow_hpo.blueprint.dialects.clearml.strategy import (
    bohb_trials,
    read_resource,
    read_strategy,
)
from airflow_hpo.blueprint.dialects.clearml.trial import read_trial
from airflow_hpo.blueprint.dialects.own import OWN, execution_of, places_of, study_name
from airflow_hpo.blueprint.shapes import BROKEN
from airflow_hpo.model.blueprint import DagSpec
from airflow_hpo.model.space import Space
from airflow_hpo.model.stop import Budget
from airflow_hpo.strategies.support import exhaustible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.dialects.clearml.settings import Settings
    from airflow_hpo.blueprint.dialects.clearml.space import Found
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.blueprint import Execution
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.values import Value

__all__ = ["read_draft"]

_MINUTE_S = 60

# So many run at the same time where the file does not say it.
_CONCURRENT = 10

# Studies without a number of jobs have so many; those with a time limit enough
# for the time to end them.
_JOBS = 100
_JOBS_IN_TIME = 1000

_OBJECTIVE = ("objective_metric_title", "objective_metric_series", "objective_metric_sign")


def read_draft(data: Mapping[str, Value], problems: Problems) -> Draft:
    """
    Return the parts of the study in a file.
    """
    settings = read_settings(data, problems)
    _relocate(settings, problems)
    draft = Draft(
        name=settings.own.get("name")
        or study_name(problems, settings.get("task_name"), otherwise="clearml"),
        study=settings.get("continue_previous_study"),
        objectives=_objectives(settings, problems),
        resource=read_resource(settings, problems),
        dag=_dag(settings),
    )
    draft.strategy = read_strategy(settings, draft.resource, problems)
    draft.pruner = read_pruner(settings, problems)
    found = _space(data, settings, problems)
    if found is not None:
        draft.parameters, draft.broken = found.parameters, found.broken
        draft.trial = read_trial(settings, found, problems)
    draft.budget = _budget(settings, draft, problems)
    draft.execution = _execution(settings, draft, problems)
    say_what_has_no_effect(settings, draft, problems)
    return draft


def _space(data: Mapping[str, Value], settings: Settings, problems: Problems) -> Found | None:
    given = [name for name in SPACES if name in data]
    if not given:
        hint = "write hyper_parameters: [{type: ..., name: ...}]"
        problems.error(("hyper_parameters",), "must be given", hint=hint, at_key=True)
        return None
    for name in given[1:]:
        problems.error((name,), f"must not be given beside {given[0]}", at_key=True)
    is_grid = settings.optimizer == "GridSearch"
    return read_space(data[given[0]], (given[0],), problems, grid=is_grid)


def _dag(settings: Settings) -> DagSpec:
    project = settings.get("project_name")
    return DagSpec(tags=() if project is None else (project,))


def _relocate(settings: Settings, problems: Problems) -> None:
    tasks = settings.place("max_number_of_concurrent_tasks")
    problems.relocate(
        {
            ("name",): (OWN, "name"),
            ("study",): settings.place("continue_previous_study"),
            ("objective",): settings.place("objective_metric_title"),
            ("space",): (settings.space,),
            ("strategy",): settings.place("optimizer_class"),
            ("strategy", "name"): settings.place("optimizer_class"),
            ("strategy", "options"): settings.place("optimizer_class"),
            ("strategy", "startup_trials"): settings.place("total_max_jobs"),
            ("resource",): settings.place("max_iteration_per_job"),
            ("resource", "name"): settings.place("max_iteration_per_job"),
            ("budget",): settings.place("total_max_jobs"),
            ("budget", "trials"): settings.place("total_max_jobs"),
            ("execution",): tasks,
            ("execution", "batch_size"): tasks,
            ("execution", "concurrency"): tasks,
            **places_of(settings.own),
        }
    )


def _objectives(settings: Settings, problems: Problems) -> tuple[Objective, ...]:
    given = [settings.get(name) for name in _OBJECTIVE]
    titles, series, signs = given
    if titles is None or series is None:
        return ()
    if signs is None:
        if _OBJECTIVE[2] in settings.places:
            return ()
        signs = ["min"] * len(titles)
    if not _are_as_many(settings, problems) or BROKEN in (*titles, *series, *signs):
        return ()
    names = _metrics(settings, titles, series, problems)
    if names is None:
        return ()
    return tuple(objective(name, sign) for name, sign in zip(names, signs, strict=True))


def _are_as_many(settings: Settings, problems: Problems) -> bool:
    """
    Return whether title, series and sign are for the same number of metrics.
    """
    given = {name: settings.get(name) for name in _OBJECTIVE if name in settings.values}
    counts = {name: len(values) for name, values in given.items()}
    if len(set(counts.values())) == 1 and (len(given) == len(_OBJECTIVE) or 1 in counts.values()):
        return True
    got = ", ".join(f"{count} of {name.rpartition('_')[2]}" for name, count in counts.items())
    message = f"title, series and sign must be as many, got {got}"
    hint = None if len(given) == len(_OBJECTIVE) else "write objective_metric_sign: [min, max]"
    problems.error(settings.place(_OBJECTIVE[0]), message, hint=hint)
    return False


def _metrics(
    settings: Settings, titles: list[str], series: list[str], problems: Problems
) -> list[str] | None:
    """
    Return what the trial calls the metrics.
    """
    given = settings.own.get("metric")
    if given is None:
        return [metric_name(*pair) for pair in zip(titles, series, strict=True)]
    names = [given] if isinstance(given, str) else given
    if BROKEN in names:
        return None
    if len(names) != len(titles):
        message = f"must be as many as objective_metric_title has, {len(titles)}, got {len(names)}"
        problems.error((OWN, "metric"), message)
        return None
    return list(names)


def _budget(settings: Settings, draft: Draft, problems: Problems) -> Budget | None:
    trials = _trials(settings, draft, problems)
    if trials is None:
        return None
    values: dict[str, Any] = {"trials": trials}
    for name, argument in (
        ("wall_clock_s", "optimization_time_limit"),
        ("trial_time_s", "compute_time_limit"),
    ):
        if argument in settings.values:
            values[name] = settings.values[argument] * _MINUTE_S
    return build(Budget, values, ("budget",), problems)


def _trials(settings: Settings, draft: Draft, problems: Problems) -> int | None:
    given: int | None = settings.get("total_max_jobs")
    if settings.optimizer == "OptimizerBOHB":
        if draft.strategy is None or draft.resource is None:
            return None
        return bohb_trials(draft.strategy, draft.resource)
    if given is not None or problems.touches(settings.place("total_max_jobs")):
        return given
    if settings.optimizer == "GridSearch":
        return _cells(draft)
    limits = ("optimization_time_limit", "compute_time_limit")
    limited = [name for name in limits if name in settings.values]
    trials = _JOBS_IN_TIME if limited else _JOBS
    message = f"should be given; it is {trials}"
    if limited:
        message += f", if {limited[0]} does not end the study before"
    hint = f"write total_max_jobs: {trials}"
    problems.warn(("total_max_jobs",), message, hint=hint, at_key=True)
    return trials


def _cells(draft: Draft) -> int | None:
    """
    Return how many cells the whole grid has.
    """
    if draft.broken or not draft.parameters:
        return None
    space = Space(parameters=tuple(draft.parameters.values()))
    return exhaustible(space) or _JOBS_IN_TIME


def _execution(settings: Settings, draft: Draft, problems: Problems) -> Execution | None:
    if problems.touches(settings.place("max_number_of_concurrent_tasks")):
        return None
    given = settings.get("max_number_of_concurrent_tasks", _CONCURRENT)
    size = given if draft.budget is None else min(given, draft.budget.trials)
    return execution_of(draft, size)
