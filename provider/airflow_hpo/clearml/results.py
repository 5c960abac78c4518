"""
What a study found, in ClearML's words: experiments, their metrics, the best of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.clearml import external_name
from airflow_hpo.driver import trial_folder, trial_label
from airflow_hpo.model.objective import loss
from airflow_hpo.model.pareto import crowding, ranks
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import Failure, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.trial import Measurement, Trial
    from airflow_hpo.model.values import Value

__all__ = [
    "Experiment",
    "best_first",
    "details",
    "iteration_of",
    "parameters_of",
    "status_of",
    "trial_id",
    "values_of",
]

# What says how far a training is, the likeliest first.
_STEPS = ("iteration", "epoch", "step")

_STATUS = {
    TrialState.WAITING: "queued",
    TrialState.RUNNING: "in_progress",
    TrialState.PAUSED: "in_progress",
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "stopped",
    TrialState.INFEASIBLE: "failed",
    TrialState.FAILED: "failed",
}


def trial_id(study: str, number: int) -> str:
    """
    Return the id of a trial: that of its study and its number.
    """
    return f"{study}/{number}"


def status_of(trial: Trial) -> str:
    """
    Return the state of *trial* in ClearML's words.
    """
    if trial.state is TrialState.FAILED and trial.failure is Failure.INFRASTRUCTURE:
        return "stopped"
    return _STATUS[trial.state]


def parameters_of(trial: Trial, blueprint: Blueprint, *, fixed: bool = True) -> dict[str, Value]:
    """
    Return the values that *trial* was given, by the names that its code knows.

    Args:
        trial: The trial.

        blueprint: Of its study.

        fixed: Whether those with one value only are among them.
    """
    selectors = {parent for parameter in blueprint.space.parameters for parent in parameter.when}
    known = blueprint.space.by_name
    return {
        external_name(name): value
        for name, value in trial.configuration.items()
        if name not in selectors
        and (fixed or name not in known or not known[name].is_constant or known[name].when)
    }


def values_of(trial: Trial, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """
    Return what *trial* reached in each objective so far; `None` if that is not known.
    """
    if trial.values is not None:
        return trial.values
    found = [objective.pick(_series(objective.metric, trial)) for objective in objectives]
    values = tuple(value for value in found if value is not None)
    return values if len(values) == len(found) else None


def _series(metric: str, trial: Trial) -> list[float]:
    numbers = (to_number(found.metrics.get(metric)) for found in trial.measurements)
    return [number for number in numbers if number is not None]


def iteration_of(trial: Trial, objective: Objective) -> int | None:
    """
    Return at which iteration *trial* had the value that counts.

    It is what the code printed beside it as ``iteration``, ``epoch`` or
    ``step``, else which measurement it was, counted from 1.
    """
    measured = [(_number(found, objective), found) for found in trial.measurements]
    has = [(number, found) for number, found in measured if number is not None]
    if not has:
        return None
    places = [len(has) - 1]
    if objective.value in {"min", "max"}:
        best = objective.pick([number for number, _ in has])
        places = [place for place, (number, _) in enumerate(has) if number == best] or places
    return _iteration(has[places[0]][1], places[0] + 1)


def _number(measurement: Measurement, objective: Objective) -> float | None:
    return to_number(measurement.metrics.get(objective.metric))


def _iteration(measurement: Measurement, place: int) -> int:
    for name in _STEPS:
        number = to_number(measurement.metrics.get(name))
        if number is not None:
            return int(number)
    return place if measurement.resource is None else int(measurement.resource)


def best_first(
    trials: Sequence[Trial], objectives: Sequence[Objective], *, only_completed: bool = False
) -> list[Trial]:
    """
    Return the trials that have values, the best first.

    With several objectives, first are those that no other beats, then those
    that only these beat, and so on; of equal rank, who has more room around it.
    Whoever comes first among *trials* wins a tie.

    Args:
        trials: With their measurements.

        objectives: What is optimised.

        only_completed: Whether those that were stopped or still run are left out.
    """
    counting = [
        (trial, values)
        for trial in trials
        if trial.is_complete or (not only_completed and _may_count(trial))
        for values in (values_of(trial, objectives),)
        if values is not None
    ]
    losses = [loss(objectives, values) for _, values in counting]
    room = crowding(losses)
    keys = [
        (rank, -room[place] if len(objectives) > 1 else losses[place][0])
        for place, rank in enumerate(ranks(losses))
    ]
    ordered = sorted(range(len(keys)), key=keys.__getitem__)
    return [counting[place][0] for place in ordered]


def _may_count(trial: Trial) -> bool:
    return trial.state in {TrialState.PRUNED, TrialState.RUNNING, TrialState.PAUSED}


def details(
    experiment: Experiment, *, all_metrics: bool = False, all_hyper_parameters: bool = False
) -> dict[str, Any]:
    """
    Return one experiment as ``get_top_experiments_details`` does.

    Args:
        experiment: The experiment.

        all_metrics: Whether metrics are told that are not optimised.

        all_hyper_parameters: Whether parameters are told that have one value.
    """
    trial, blueprint = experiment.trial, experiment.blueprint
    wanted = {objective.metric for objective in blueprint.objectives}
    return {
        "task_id": experiment.id,
        "status": experiment.status,
        "hyper_parameters": parameters_of(trial, blueprint, fixed=all_hyper_parameters),
        "metrics": {
            "/".join((found["metric"], found["variant"])): found
            for name, found in _metrics(trial).items()
            if all_metrics or name in wanted
        },
    }


def _metrics(trial: Trial) -> dict[str, dict[str, Any]]:
    """
    Return the last, least and largest value of each metric, by its name.
    """
    names = dict.fromkeys(name for found in trial.measurements for name in found.metrics)
    names.pop(_STEPS[0], None)  # a logger prints it beside each scalar
    metrics = {}
    for name in names:
        series = _series(name, trial)
        if series:
            title, _, variant = name.partition("/")
            metrics[name] = {
                "metric": title,
                "variant": variant or title,
                "value": series[-1],
                "min_value": min(series),
                "max_value": max(series),
            }
    return metrics


@dataclass(frozen=True)
class Experiment:
    """
    One trial, as far as ClearML's ``Task`` would tell of it.

    Args:
        trial: With its measurements.

        study: Name of its study.

        blueprint: Of its study.

        artifacts: Folder of all studies' files.
    """

    trial: Trial
    study: str
    blueprint: Blueprint
    artifacts: Path

    @property
    def id(self) -> str:
        """
        What callbacks call it.
        """
        return trial_id(self.study, self.trial.number)

    @property
    def name(self) -> str:
        """
        Its number and values, in a line.
        """
        return trial_label(self.trial.number, self.trial.configuration, self.blueprint)

    @property
    def status(self) -> str:
        """
        ``queued``, ``in_progress``, ``completed``, ``stopped`` or ``failed``.
        """
        return status_of(self.trial)

    def get_status(self) -> str:
        """
        Return the same.
        """
        return self.status

    def get_output_log_web_page(self) -> str:
        """
        Return where its files are, as a URL.
        """
        return trial_folder(self.artifacts, self.study, self.trial).as_uri()

    def get_parameters(self) -> dict[str, Value]:
        """
        Return what it was given, with the types that it was given.
        """
        return parameters_of(self.trial, self.blueprint)

    def get_last_scalar_metrics(self) -> dict[str, dict[str, Mapping[str, float]]]:
        """
        Return ``last``, ``min`` and ``max`` of each metric, by title and series.
        """
        found: dict[str, dict[str, Mapping[str, float]]] = {}
        for metric in _metrics(self.trial).values():
            found.setdefault(metric["metric"], {})[metric["variant"]] = {
                "last": metric["value"],
                "min": metric["min_value"],
                "max": metric["max_value"],
            }
        return found
