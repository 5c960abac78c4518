"""
The best trial of a study: handed on, promoted, and tried again on new data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.driver.stores import location
from airflow_hpo.driver.workspace import trial_folder
from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.history import MisfitError, champion_before, fit_configuration
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Suggestion
from airflow_hpo.report.files import finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.model.values import Value
    from airflow_hpo.study import Study

__all__ = ["judge_champion", "portrait", "promote", "suggest_champion", "to_promote"]


def portrait(study: Study, trial: Trial, artifacts: Path) -> dict[str, Any]:
    """
    Return what others want to know of a complete *trial*, JSON-compatible.

    Args:
        study: The trial's.

        trial: Complete.

        artifacts: Folder under which workspaces are.

    Returns:
        ``study``, ``trial`` (its number), ``parameters``, ``value`` (of the first
        objective), ``values`` (of all, by metric), ``metrics``, and ``artifacts``
        (the trial's folder: what its code wrote to ``HPO_OUTPUT_DIR``).
    """
    metrics = [objective.metric for objective in study.blueprint.objectives]
    values = dict(zip(metrics, trial.values or (), strict=True))
    found: dict[str, Any] = finite(
        {
            "study": study.name,
            "trial": trial.number,
            "parameters": dict(trial.configuration),
            "value": values[metrics[0]],
            "values": values,
            "metrics": dict(trial.metrics),
            "artifacts": location(trial_folder(artifacts, study.name, trial)),
        }
    )
    return found


def suggest_champion(study: Study, *, key: str) -> tuple[tuple[Trial, ...], str]:
    """
    Return the trial that tries the champion on this study's data, if there is one.

    Returns:
        The trial, or none; and in words what is tried, or why nothing is.
    """
    note = study.storage.note(study.name, "champion_checked", lambda: _known(study))
    configuration = note.get("configuration")
    if configuration is None:
        return (), str(note["why"])

    def propose(record: StudyRecord) -> Sequence[Suggestion]:
        ended = record.stop is not None or study.remaining(record) == 0
        return () if ended else (Suggestion(configuration, "champion"),)

    words = f"the champion is trial {note['trial']} of study {note['study']}"
    return study.storage.append(study.name, key, propose), words


def _known(study: Study) -> dict[str, Value]:
    """
    Return what is to be tried, and what it was worth; or ``why`` nothing is.
    """
    blueprint, storage = study.blueprint, study.storage
    asset = blueprint.champion_asset
    found = champion_before(storage, study.name, asset=asset)
    if found is None:
        return {"why": f"there is no champion {asset} yet"}
    metrics = [objective.metric for objective in blueprint.objectives]
    if not found["values"].keys() >= set(metrics):
        return {"why": f"the champion of study {found['study']} was judged by other metrics"}
    try:
        configuration = fit_configuration(blueprint.space, found["parameters"])
    except MisfitError as error:
        return {"why": f"the champion of study {found['study']} does not fit: {error}"}
    return {
        "configuration": configuration,
        "values": [float(found["values"][metric]) for metric in metrics],
        "study": found["study"],
        "trial": found["trial"],
    }


def judge_champion(study: Study, numbers: Sequence[int]) -> tuple[Stop | None, str]:
    """
    End the study where the champion still holds on its data.

    Args:
        study: The study.

        numbers: The trial that tried it; may be none.

    Returns:
        Why the study ends, or `None`; and what was found, in words.
    """
    spec, record = study.blueprint.dag.champion, study.record()
    trials = [record.trials[number] for number in numbers]
    if spec is None or not trials:
        return record.stop, "no champion was tried"
    (trial,) = trials
    if not trial.is_complete or not study.blueprint.outcomes.allow(trial):
        return record.stop, f"the champion did not end well: trial is {trial.state.value}"
    then, now = record.notes["champion_checked"]["values"], trial.values or ()
    objectives = study.blueprint.objectives
    found = ", ".join(
        f"{objective.metric} is {new:.6g} and was {old:.6g}"
        for objective, old, new in zip(objectives, then, now, strict=True)
    )
    if record.stop is not None or not spec.holds(objectives, then, now):
        return record.stop, f"the champion no longer holds: {found}"
    stop = Stop("champion", f"the champion still holds: {found}", trial.number)
    study.stop(stop)
    return stop, stop.reason


def to_promote(study: Study) -> tuple[Trial | None, str]:
    """
    Return the trial that becomes the champion; `None`, and why, where none does.
    """
    try:
        record = study.record()
    except StudyNotFoundError:
        return None, "there is no study"
    if record.stop is not None and record.stop.rule == "champion":
        return None, record.stop.reason
    best = study.best()
    return best, "no trial is complete" if best is None else f"trial {best.number} is the best"


def promote(study: Study, data: Mapping[str, Value], *, key: str) -> dict[str, Value]:
    """
    Keep that the trial in *data* is the champion from now on, and return *data* whole.

    Args:
        study: The trial's.

        data: Its `portrait`, and who promoted it: ``dag``, ``run``, ``asset``.

        key: Which promotion this is.
    """
    interval = study.record().notes.get("interval", {})
    whole = {**data, "at": interval.get("at", study.record().created)}
    study.storage.promote(study.name, key, whole)
    return whole
