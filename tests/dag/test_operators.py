"""
Operators by themselves: settings, and what a trial's end means for its task.
"""

from __future__ import annotations

import pytest

pytest.importorskip("airflow")

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.errors import TrialFailedError
from airflow_hpo.hooks.compat import AirflowFailException, AirflowSkipException
from airflow_hpo.model.trial import Failure, Outcome, TrialState
from airflow_hpo.operators import SuggestOperator, TrialOperator
from airflow_hpo.operators.base import SealedBlueprint
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study


@pytest.fixture(name="blueprint")
def _blueprint(document):
    """
    A blueprint that allows two attempts more after lost machines and one after crashes.
    """
    trial = {"command": "true {x}", "retries": {"infrastructure": 2, "code": 1}}
    (blueprint,) = parse_blueprints(document("tiny", trial=trial), file="tiny.yaml")
    return blueprint


@pytest.fixture(name="told")
def _told(blueprint, request):
    """
    Tells outcomes of one trial, each of an attempt of its own, and asks what the task does.
    """
    operator = TrialOperator(task_id="trial", blueprint=blueprint, trial={"number": 0})
    storage = open_storage(f"memory://{request.node.name}")
    study = Study.open(storage, "tiny", blueprint)
    study.ask(1, key="ask")

    def tell(*outcomes):
        for index, outcome in enumerate(outcomes):
            attempt = study.start(0, key=str(index)).attempt
            trial = study.tell(0, outcome, attempt=attempt)
        return operator._told(study, trial)

    return tell


def failed(failure):
    """
    Return the outcome of an attempt that failed so.
    """
    return Outcome(TrialState.FAILED, reason="it broke", failure=failure)


def test_a_complete_trial_returns_its_values(told):
    """
    Values come by the names of their metrics.
    """
    answer = told(Outcome(TrialState.COMPLETE, values=(0.5,)))

    assert answer == {"number": 0, "state": "complete", "values": {"y": 0.5}}


@pytest.mark.parametrize(
    ("outcome", "error", "message"),
    [
        (Outcome(TrialState.PRUNED, reason="too slow"), AirflowSkipException, "pruned: too slow"),
        (
            Outcome(TrialState.INFEASIBLE, reason="nan"),
            AirflowFailException,
            "trial 0 is infeasible: nan",
        ),
        (failed(Failure.TIMEOUT), AirflowFailException, "trial 0 is failed: it broke"),
        (failed(Failure.CODE), TrialFailedError, "trial 0 is failed: it broke"),
        (failed(Failure.INFRASTRUCTURE), TrialFailedError, "trial 0 is failed: it broke"),
    ],
)
def test_the_state_of_a_task_shows_the_trial_s(told, outcome, error, message):
    """
    Pruned is skipped; what would come again fails for good; the rest may be retried.
    """
    with pytest.raises(error, match=message):
        told(outcome)


@pytest.mark.parametrize(
    ("failures", "error"),
    [
        ((Failure.CODE,) * 2, AirflowFailException),
        ((Failure.INFRASTRUCTURE,) * 3, AirflowFailException),
        ((Failure.INFRASTRUCTURE,) * 2, TrialFailedError),
        ((Failure.INFRASTRUCTURE, Failure.INFRASTRUCTURE, Failure.CODE), TrialFailedError),
        ((Failure.CODE, Failure.INFRASTRUCTURE), TrialFailedError),
    ],
)
def test_each_kind_of_failure_has_its_own_retries(told, failures, error):
    """
    Crashes do not use up the retries that lost machines have, nor the other way round.
    """
    with pytest.raises(error):
        told(*map(failed, failures))


@pytest.mark.parametrize("plain", [True, False])
def test_settings_hold_for_the_run(blueprint, plain):
    """
    Templates render to text: numbers in it count, and empty text changes nothing.
    """
    given = blueprint.model_dump(mode="json") if plain else SealedBlueprint(blueprint)
    settings = {"trials": "3", "batch_size": " ", "seed": "None"}

    found = SuggestOperator(task_id="suggest", blueprint=given, settings=settings).resolve()

    assert found.budget.trials == 3
    assert found.execution == blueprint.execution
    assert found.strategy == blueprint.strategy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": "0"}, r"trials must be a whole number in \[1, .*\], got '0'"),
        ({"batch_size": "2.5"}, r"batch_size must be a whole number in \[1, .*\], got '2.5'"),
        ({"seed": -1}, r"seed must be a whole number in \[0, .*\], got '-1'"),
        ({"epochs": 3}, "settings must be trials, batch_size, seed, got epochs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(blueprint, settings, message):
    """
    The message says what is allowed and what was given.
    """
    operator = SuggestOperator(task_id="suggest", blueprint=blueprint, settings=settings)

    with pytest.raises(AirflowFailException, match=message):
        operator.resolve()


def test_a_study_needs_a_name(blueprint):
    """
    A template that renders to nothing fails for good.
    """
    operator = SuggestOperator(task_id="suggest", blueprint=blueprint, study="  ")

    with pytest.raises(AirflowFailException, match="name must not be empty"), operator.opened():
        pass


def test_a_blueprint_is_written_down_short(blueprint):
    """
    What Airflow serialises of it is the same everywhere and tells versions apart.
    """
    shown = repr(SealedBlueprint(blueprint))

    assert shown == f"tiny (native {blueprint.source.sha256[:16]})"
