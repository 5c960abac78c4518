"""
Operators by themselves: settings, and what a trial's end means for its task.
"""

from __future__ import annotations

import json
import sys
import types

import pytest

pytest.importorskip("airflow")

from airflow.sdk import BaseNotifier

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.errors import StorageError, TrialFailedError
from airflow_hpo.hooks.compat import AirflowFailException, AirflowSkipException
from airflow_hpo.model.callbacks import Callback, TrialComplete
from airflow_hpo.model.trial import Failure, Outcome, Trial, TrialState
from airflow_hpo.operators import SuggestOperator, TrialOperator, notify
from airflow_hpo.operators.base import SealedBlueprint
from airflow_hpo.operators.retry import retry_options
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
        ({"epochs": 3}, "settings must be trials, batch_size, seed, strategy, .* got epochs"),
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


def test_retry_policy_names_the_reason():
    """
    Where Airflow has retry policies, a trial that is worth another try says why; of errors
    that are not about a trial the policy says nothing.
    """
    sdk = pytest.importorskip("airflow.sdk")
    if not hasattr(sdk, "RetryPolicy"):
        pytest.skip("no retry policies in this Airflow")
    policy = retry_options()["retry_policy"]
    lost = policy.evaluate(TrialFailedError("trial 3 is failed: killed\nlast lines"), 1, 2)
    other = policy.evaluate(StorageError("no route to host"), 1, 2)

    assert (lost.action.value, lost.reason) == ("retry", "trial 3 is failed: killed")
    assert (other.action.value, other.reason) == ("default", None)
    assert type(policy).deserialize(json.loads(json.dumps(policy.serialize()))) is not None


def test_notifiers_render_the_news():
    """
    A notifier gets its arguments rendered with the task's context and the news.
    """
    seen = []
    trial = Trial(3, {}, state=TrialState.COMPLETE, values=(0.5,))
    news = TrialComplete("digits", trial, trial)
    callback = Callback(
        notifier="test_notifier_of_ours.Recorder", arguments={"text": "{{ hpo.trial.number }}"}
    )
    module = types.ModuleType("test_notifier_of_ours")

    class Recorder(BaseNotifier):
        template_fields = ("text",)

        def __init__(self, text):
            super().__init__()
            self.text = text

        def notify(self, context):
            seen.append((self.text, context["hpo"]))

    module.Recorder = Recorder
    sys.modules[module.__name__] = module
    try:
        notify._notify({"ti": None}, callback, news)
    finally:
        del sys.modules[module.__name__]

    assert seen == [("3", news)]
