"""
Distributed tasks of Valohai: executions that wait until all are there.
"""

from __future__ import annotations

import json
import sys
import threading

import pytest

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.driver import TrialRun
from airflow_hpo.errors import TrialFailedError
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import TrialState
from airflow_hpo.platforms.group import addresses, assemble
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

CODE = """\
import valohai

assert valohai.distributed.is_distributed_task()
me, master = valohai.distributed.me(), valohai.distributed.master()
assert len(valohai.distributed.members()) == valohai.distributed.required_count == 3
assert master.rank == 0 and master.primary_local_ip
with valohai.logger() as logger:
    logger.log("rank", me.rank)
    logger.log("epochs", valohai.parameters("epochs").value)
"""

TEXT = """\
- step:
    name: train
    image: python:3.12
    command: PYTHON train.py {parameters}
    parameters:
      - {name: epochs, type: integer, default: 7}
- task:
    name: together
    step: train
    type: distributed
    execution-count: 3
    optimization-target-metric: rank
    parameters:
      - {name: epochs, style: single, rules: {value: 9}}
- hpo: {task: together, direction: minimize, runner: subprocess}
"""


@pytest.fixture(name="opened")
def _opened(tmp_path):
    """
    A study of three executions that wait for each other; call it for one more connection.
    """
    (tmp_path / "train.py").write_text(CODE)
    text = TEXT.replace("PYTHON", sys.executable)
    (blueprint,) = parse_blueprints(text, file=str(tmp_path / "valohai.yaml"))

    def opened():
        return Study.open(open_storage(f"sqlite:///{tmp_path / 's.db'}"), "s", blueprint)

    return opened


def run_all(opened, numbers, tmp_path, before=lambda _: None):
    """
    Run trials side by side; return what became of each, and what all printed.
    """
    told, lines = {}, []

    def run(number):
        attempt = TrialRun(
            opened(), number, key=f"t{number}", artifacts=tmp_path / "f", log=lines.append
        )
        before(number)
        told[number] = attempt.run()

    threads = [threading.Thread(target=run, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    return threads, told, lines


def test_all_start_once_all_are_there(opened, tmp_path):
    """
    Code that uses valohai-utils finds its rank, the master and all members.
    """
    trials = opened().ask(9, key="ask")
    threads, told, lines = run_all(opened, range(3), tmp_path)
    for thread in threads:
        thread.join()

    assert len(trials) == 3
    assert {trial.state for trial in told.values()} == {TrialState.COMPLETE}, lines
    assert sorted(trial.values[0] for trial in told.values()) == [0, 1, 2]
    assert {trial.metrics["epochs"] for trial in told.values()} == {9}


def test_who_is_alone_ends_with_the_study(opened, tmp_path):
    """
    An execution that still waits for the others ends when the study does.
    """
    opened().ask(3, key="ask")
    threads, told, lines = run_all(opened, [0], tmp_path)
    threads[0].join(1)
    assert threads[0].is_alive()

    opened().stop(Stop("asked", "somebody stopped it"))
    threads[0].join(30)

    assert told[0].state is TrialState.PRUNED
    assert told[0].reason == "the study ended: somebody stopped it"
    assert lines == ["ending the trial: the study ended: somebody stopped it"]


def test_waiting_is_bounded(tmp_path):
    """
    Where there is not room for all, the failure says so.
    """
    rule = r"3 executions must be there at once, got 2 within 0\.3 s"
    known = {"patience_s": 0.3, "count": 3, "ended": lambda: False}
    with pytest.raises(TrialFailedError):
        assemble(tmp_path, 0, about={"a": 1}, **known)
    with pytest.raises(TrialFailedError, match=rule):
        assemble(tmp_path, 2, about={"a": 3}, **known)

    assert assemble(tmp_path, 1, about={"a": 2}, **known) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_who_comes_again_takes_the_old_place(tmp_path):
    """
    A member that is tried again is still one member.
    """
    known = {"count": 1, "ended": lambda: False}
    assemble(tmp_path, 0, about={"try": 1}, **known)

    assert assemble(tmp_path, 0, about={"try": 2}, **known) == [{"try": 2}]
    assert json.loads((tmp_path / "0.json").read_text()) == {"try": 2}


def test_addresses():
    """
    A machine has an address, whatever its network is like.
    """
    assert "127.0.0.1" in addresses()


def test_there_is_room_for_all(opened):
    """
    All run at once, and an error of one ends the others unless the file says otherwise.
    """
    blueprint = opened().blueprint

    assert blueprint.trial.on_failure == "stop"
    assert blueprint.trial.platform.options["group"] == 3
    assert blueprint.execution.batch_size == blueprint.execution.concurrency == 3
    assert blueprint.budget.trials == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("    execution-count: 3\n", ""), "execution-count must be given for distributed"),
        (
            ("style: single, rules: {value: 9}", "style: multiple, rules: {items: [1, 2]}"),
            "must have one value where executions work together, got 2",
        ),
        (
            ("execution-count: 3", "execution-count: 3\n    maximum-queued-executions: 2"),
            "must be at least execution-count, 3, where they wait for each other, got 2",
        ),
        (
            (
                "style: single, rules: {value: 9}",
                "style: random, rules: {min: 1, max: 4, count: 2}",
            ),
            "must have one value where executions work together, got 2",
        ),
    ],
)
def test_what_cannot_work(change, message):
    """
    Values that vary, and less room than executions, are refused.
    """
    problems = check_text(TEXT.replace(*change), file="valohai.yaml")

    errors = [problem for problem in problems if problem.severity == "error"]
    assert errors
    assert any(message in problem.message for problem in errors)
