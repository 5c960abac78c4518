"""
Callbacks are told what happens: each thing once, whatever becomes of them.
"""

from __future__ import annotations

import json
import logging
from multiprocessing import get_context
from pathlib import Path

import pytest
from pydantic import ValidationError

from airflow_hpo.blueprint import check_text
from airflow_hpo.driver import announce
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.callbacks import Callback, Callbacks
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

CODE = """\
import json

from airflow_hpo.model.callbacks import NewBest, StudyEnd, TrialComplete

def tell(*words):
    with open(__file__ + ".told", "a") as file:
        file.write(json.dumps(words) + "\\n")

def complete(news):
    assert isinstance(news, TrialComplete)
    best = news.best and news.best.number
    tell("complete", news.study, news.trial.number, news.trial.values[0], best)

def best(news):
    assert isinstance(news, NewBest)
    tell("best", news.trial.number, None if news.previous is None else news.previous.number)

def end(news):
    assert isinstance(news, StudyEnd)
    tell("end", news.stop.reason, news.best and news.best.number, news.states)

def broken(news):
    raise RuntimeError("not my day")

def leaves(news):
    raise SystemExit(3)
"""


@pytest.fixture(name="make")
def _make(tmp_path):
    """
    Makes a study in a SQLite file with callbacks in a module beside its blueprint.
    """
    module = f"alerts_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(CODE)

    def make(**callbacks):
        x = {"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}
        blueprint = Blueprint.model_validate(
            {
                "name": "parabola",
                "objectives": [{"metric": "y", "direction": "minimize"}],
                "space": {"parameters": [x]},
                "strategy": {"name": "random", "seed": 7},
                "budget": {"trials": 4},
                "trial": {"steps": [{"command": "true"}]},
                "callbacks": {
                    f"on_{event}": [{"function": f"{module}:{name}"} for name in names]
                    for event, names in callbacks.items()
                },
                "source": {"file": str(tmp_path / "blueprint.yaml")},
            }
        )
        return Study.open(open_storage(f"sqlite:///{tmp_path / 'studies.db'}"), "s", blueprint)

    return make


@pytest.fixture(name="told")
def _told(tmp_path):
    """
    Returns what the callbacks wrote down, and forgets it.
    """

    def told():
        found = []
        for path in tmp_path.glob("*.told"):
            found += [json.loads(line) for line in path.read_text().splitlines()]
            path.unlink()
        return found

    return told


def complete(study, number, value, *, key="try 1"):
    """
    Let a trial end well.
    """
    trial = study.start(number, key=key)
    study.tell(number, Outcome(TrialState.COMPLETE, values=(value,)), attempt=trial.attempt)


ALL = {"trial_complete": ["complete"], "new_best": ["best"], "study_end": ["end"]}


def test_everything_is_told_once(make, told):
    """
    Every complete trial, every new best and the end, in the order in which they happened.
    """
    study = make(**ALL)
    study.ask(3, key="a")
    complete(study, 0, 3.0)
    complete(study, 1, 5.0)
    assert announce(study) == 3
    assert announce(study) == 0
    complete(study, 2, 1.0)
    study.stop(Stop("user", "enough"))
    announce(study)
    announce(study)

    assert told() == [
        ["complete", "s", 0, 3.0, 0],
        ["best", 0, None],
        ["complete", "s", 1, 5.0, 0],
        ["complete", "s", 2, 1.0, 2],
        ["best", 2, 0],
        ["end", "enough", 2, {"complete": 3}],
    ]


def test_end_waits_for_running_trials(make, told):
    """
    A study has ended when nothing of it runs any more.
    """
    study = make(study_end=["end"])
    study.ask(1, key="a")
    study.start(0, key="try 1")
    study.stop(Stop("user", "enough"))
    announce(study)
    assert told() == []
    study.tell(0, Outcome(TrialState.FAILED, failure=Failure.CODE), attempt=1)
    announce(study)

    assert told() == [["end", "enough", None, {"failed": 1}]]


def test_study_that_goes_on_ends_again(make, told):
    """
    A study that was opened again and ends again is told to have ended again.
    """
    study = make(study_end=["end"])
    for reason in ("first", "second"):
        study.storage.stop("s", None)
        study.stop(Stop("user", reason))
        announce(study)

    assert [words[1] for words in told()] == ["first", "second"]


def test_trial_that_ran_again_is_news(make, told):
    """
    A new attempt's outcome is told; what became the best of its time by that is not.
    """
    study = make(**ALL)
    study.ask(3, key="a")
    for number, value in enumerate([1.0, 5.0, 3.0]):
        complete(study, number, value)
        announce(study)
    told()
    complete(study, 0, 9.0, key="try 2")
    announce(study)

    assert told() == [["best", 2, 1], ["complete", "s", 0, 9.0, 2]]


def test_exceptions_harm_nothing(make, told, caplog):
    """
    A callback that raises, exits or is not there is logged, and the next one is called.
    """
    study = make(trial_complete=["broken", "leaves", "absent", "complete"])
    study.ask(1, key="a")
    complete(study, 0, 3.0)
    with caplog.at_level(logging.ERROR):
        announce(study)

    assert told() == [["complete", "s", 0, 3.0, 0]]
    assert caplog.text.count("failed; the study goes on") == 3
    assert "not my day" in caplog.text


def test_notifiers_are_called_where_there_is_airflow(make, caplog):
    """
    A notifier is handed to who can call it, and passed over elsewhere.
    """
    study = make(trial_complete=["complete"])
    notifier = Callback(notifier="some.where.Notifier", arguments={"to": "me"})
    callbacks = study.blueprint.callbacks.model_copy(update={"on_new_best": (notifier,)})
    study.blueprint = study.blueprint.model_copy(update={"callbacks": callbacks})
    study.ask(2, key="a")
    complete(study, 0, 3.0)
    calls = []
    announce(study, notify=lambda callback, news: calls.append((callback, news.trial.number)))
    complete(study, 1, 2.0)
    announce(study)

    assert calls == [(notifier, 0)]
    assert "Not told outside of Airflow's tasks: some.where.Notifier" in caplog.text


def _announce(folder):
    blueprint = Blueprint.model_validate_json(Path(folder, "blueprint.json").read_text())
    announce(Study(open_storage(f"sqlite:///{folder}/studies.db"), "s", blueprint))


def test_many_processes_tell_once(make, told, tmp_path):
    """
    Processes that look at the same time share the telling.
    """
    study = make(**ALL)
    study.ask(4, key="a")
    for number in range(4):
        complete(study, number, float(number))
    (tmp_path / "blueprint.json").write_text(study.blueprint.model_dump_json())
    fork = get_context("fork")
    processes = [fork.Process(target=_announce, args=(str(tmp_path),)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert sorted(map(str, told())) == sorted(
        map(str, [["best", 0, None], *(["complete", "s", n, float(n), 0] for n in range(4))])
    )


def test_without_callbacks_nothing_is_kept(make):
    """
    A study that tells nobody has no such events.
    """
    study = make()
    study.ask(1, key="a")
    complete(study, 0, 3.0)

    assert announce(study) == 0
    assert "announced" not in {event.kind for event in study.storage.events("s")}


@pytest.mark.parametrize("given", [{}, {"function": "a:b", "notifier": "a.b"}])
def test_callback_is_one_thing(given):
    """
    A function or a notifier, not both and not neither.
    """
    with pytest.raises(ValidationError, match="exactly one of function and notifier"):
        Callback(**given)


SMALL = """\
hpo: 1
name: digits
objective: {metric: loss, direction: minimize}
space: {x: {float: [0, 1]}}
budget: {trials: 2}
trial: {command: "echo {x}"}
callbacks:
"""


def test_keys_of_a_blueprint():
    """
    Wrong names of functions, classes and events are refused at their place.
    """
    text = SMALL + (
        "  on_trial_complete: my_alerts\n"
        "  on_new_bset: a:b\n"
        "  on_study_end: [a:b, {notifier: Mail}, {arguments: {}}]\n"
    )

    keys = ", ".join(Callbacks.model_fields)

    assert [f"{each.path}: {each.message}" for each in check_text(text)] == [
        "callbacks.on_trial_complete: must be a function as module:function, got 'my_alerts'",
        f"callbacks.on_new_bset: unknown key; the keys here are {keys}",
        "callbacks.on_study_end.1.notifier: must be the import path of a class, got 'Mail'",
        "callbacks.on_study_end.2: notifier must be given",
    ]


def test_best_satisfies_the_constraints_on_outcomes(make, told):
    """
    A complete trial that violates them is told as complete, and is no new best.
    """
    study = make(**ALL)
    study.blueprint = study.blueprint.model_copy(update={"outcome_constraints": ("size <= 1",)})
    study.ask(2, key="a")
    for number, (value, size) in enumerate([(1.0, 2), (5.0, 1)]):
        trial = study.start(number, key="try 1")
        outcome = Outcome(TrialState.COMPLETE, values=(value,), metrics={"y": value, "size": size})
        study.tell(number, outcome, attempt=trial.attempt)
    told_before = announce(study)

    assert told_before == 3
    assert [words[:2] for words in told() if words[0] == "best"] == [["best", 1]]
