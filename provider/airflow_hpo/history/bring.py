"""
A study of another tool's, into the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import StudyError, StudyNotFoundError
from airflow_hpo.history.foreign import ForeignStudy, ForeignTrial, make_blueprint
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.distribution import Categorical
from airflow_hpo.model.trial import Measurement, Outcome, Suggestion
from airflow_hpo.model.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.storage.base import Storage

__all__ = ["bring_in"]

_KEY = "imported"


def bring_in(
    storage: Storage, foreign: ForeignStudy, *, study: str, blueprint: Blueprint | None = None
) -> StudyRecord:
    """
    Write *foreign* into the journal as a study of ours; returns it.

    Trials keep their order, times, values and reasons; what had not ended is
    no part of *foreign*. Called again after it was interrupted, it goes on.

    Args:
        storage: The journal.

        foreign: What to write.

        study: What it is called here.

        blueprint: What it is here; made of *foreign* by default.

    Raises:
        StudyError: If there is nothing to import, there is another study of
            that name, or *blueprint* has other objectives.
    """
    if not foreign.trials:
        raise StudyError(
            f"{foreign.tool}'s {foreign.name!r} has no trial that has ended: "
            "there is nothing to import"
        )
    if blueprint is None:
        blueprint = make_blueprint(foreign, study=study)
    else:
        _check_objectives(foreign, blueprint)
    _check_name(storage, study)
    definition = blueprint.model_dump(mode="json")
    storage.create(study, definition=definition, seed=blueprint.strategy.seed or 0, plan={})
    translate = _translator(foreign, blueprint)
    suggestions = [
        Suggestion(translate(trial), trial.sampler, labels={foreign.tool.lower(): trial.number})
        for trial in foreign.trials
    ]
    storage.append(study, _KEY, lambda _: suggestions)
    metrics = [objective.metric for objective in blueprint.objectives]
    for number, trial in enumerate(foreign.trials):
        _tell(storage, study, number, trial, metrics)
    return storage.load(study)


def _check_objectives(foreign: ForeignStudy, blueprint: Blueprint) -> None:
    there = [objective.direction for objective in foreign.objectives]
    here = [objective.direction for objective in blueprint.objectives]
    if there != here:
        raise StudyError(
            f"the objectives must go where the imported ones go ({', '.join(map(str, there))}), "
            f"got {', '.join(str(each or 'target') for each in here)}"
        )


def _check_name(storage: Storage, study: str) -> None:
    try:
        record = storage.load(study)
    except StudyNotFoundError:
        return
    if any(trial.key != _KEY for trial in record.trials):
        raise StudyError(
            f"there is a study called {study!r}, and trials of its own\n"
            "    hint: choose another name: --as NAME"
        )


def _translator(
    foreign: ForeignStudy, blueprint: Blueprint
) -> Callable[[ForeignTrial], dict[str, Value]]:
    """
    Return what turns a foreign configuration into ours.

    HyperOpt keeps the place of a choice's option; a blueprint says which it is.
    """
    names, known = foreign.renamed(), blueprint.space.by_name

    def value(name: str, given: Value) -> Value:
        distribution = known[name].distribution if name in known else None
        if distribution is None:
            return given
        if isinstance(distribution, Categorical) and not distribution.contains(given):
            is_place = foreign.tool == "HyperOpt" and isinstance(given, int)
            if is_place and 0 <= given < len(distribution.choices):
                return distribution.choices[given]
        return distribution.cast(given) if distribution.contains(given) else given

    def translate(trial: ForeignTrial) -> dict[str, Value]:
        own = {names.get(name, name): given for name, given in trial.configuration.items()}
        return {name: value(name, given) for name, given in own.items()}

    return translate


def _tell(
    storage: Storage, study: str, number: int, trial: ForeignTrial, metrics: list[str]
) -> None:
    started = trial.started if trial.started is not None else trial.finished
    attempt = storage.start(study, number, key=_KEY, at=started).attempt
    time = started or 0.0
    measured = [
        Measurement({metrics[0]: value}, time, float(step))
        for step, value in trial.measured.items()
    ]
    if measured:
        storage.measure(study, number, measured, attempt=attempt, first=0)
    seen: dict[str, Any] = dict(trial.metrics)
    seen |= dict(zip(metrics, trial.values or (), strict=False))
    outcome = Outcome(
        trial.state,
        values=trial.values,
        metrics=seen,
        reason=trial.reason,
        failure=trial.failure,
        time=trial.finished if trial.finished is not None else started,
    )
    storage.finish(study, number, outcome, attempt=attempt)
