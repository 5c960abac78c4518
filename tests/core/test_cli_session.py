"""
The session behind ``hpo run``: rounds in threads, retries, stops, leftovers.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_hpo.cli.display import Display
from airflow_hpo.cli.leftovers import find_leftovers, this_process
from airflow_hpo.cli.session import Session
from airflow_hpo.driver import TrialRun
from airflow_hpo.errors import StorageError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Measurement, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

PRINT_Y = """echo '{{"y": '$HPO_TRIAL'}}'"""
LOST = Outcome(TrialState.FAILED, reason="the node is gone", failure=Failure.INFRASTRUCTURE)


def make(command=PRINT_Y, *, trials=4, batch=4, trial=None, **changes):
    """
    Return a blueprint that runs *command*; by default y is the trial's number.
    """
    x = {"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}
    return Blueprint.model_validate(
        {
            "name": "parabola",
            "objectives": [{"metric": "y", "direction": "minimize"}],
            "space": {"parameters": [x]},
            "strategy": {"name": "random", "seed": 7},
            "budget": {"trials": trials},
            "execution": {"batch_size": batch},
            "trial": {"steps": [{"command": command}], "grace_s": 5, **(trial or {})},
            **changes,
        }
    )


class Bench:
    """
    Opens studies in one SQLite file, and runs sessions of them.
    """

    def __init__(self, folder):
        self.folder = folder
        self.shown = io.StringIO()

    def open(self, blueprint, name="s"):
        """
        Return the study.
        """
        return Study.open(open_storage(f"sqlite:///{self.folder / 'studies.db'}"), name, blueprint)

    def session(self, study, *, slots=2, trials=None, **options):
        """
        Return a session that has not begun.
        """
        artifacts = self.folder / "files"
        return Session(
            study,
            trials=trials or study.blueprint.budget.trials,
            artifacts=artifacts,
            slots=slots,
            display=Display(study, artifacts=artifacts, file=self.shown, verbose=False),
            **options,
        )

    def run(self, blueprint, **options):
        """
        Run a session; returns it and the study's trials.
        """
        study = self.open(blueprint)
        session = self.session(study, **options)
        session.run()
        return session, study.record().trials


@pytest.fixture(name="bench")
def _bench(tmp_path):
    return Bench(tmp_path)


def dead_process():
    """
    Return what the keys of a process on this machine began with that has ended.
    """
    code = "from airflow_hpo.cli.leftovers import this_process; print(this_process())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def states(trials):
    """
    Return the states of *trials* as text.
    """
    return [trial.state.value for trial in trials]


class TestCourse:
    """
    A study from its first trial to its last.
    """

    def test_runs_the_whole_budget(self, bench):
        """
        All rounds are run, and the reason for ending is the spent budget.
        """
        session, trials = bench.run(make(trials=5, batch=2))

        assert states(trials) == ["complete"] * 5
        assert [trial.values for trial in trials] == [(0.0,), (1.0,), (2.0,), (3.0,), (4.0,)]
        assert session.stop.rule == "trials"
        assert session.interrupted is None

    def test_never_more_than_the_slots(self, bench, tmp_path):
        """
        As many trials run at the same time as there are slots, and no more.
        """
        log = tmp_path / "log"
        command = f"echo + >> '{log}'; sleep 0.2; echo - >> '{log}'; {PRINT_Y}"
        bench.run(make(command, trials=6, batch=6), slots=2)

        running, most = 0, 0
        for line in log.read_text().split():
            running += 1 if line == "+" else -1
            most = max(most, running)
        assert most == 2

    def test_asks_for_no_more_than_told(self, bench):
        """
        A session makes at most so many new trials, lost ones included.
        """
        trial = {"retries": {"infrastructure": 0}, "runner": {"name": "inline", "options": {}}}
        trial["runner"]["options"] = {"callable": "lossy:lose"}
        trial["workdir"] = str(bench.folder)
        code = "from airflow_hpo.errors import TrialFailedError\n"
        code += "def lose(x):\n    raise TrialFailedError('the node is gone')\n"
        (bench.folder / "lossy.py").write_text(code)
        session, trials = bench.run(make("", trials=3, batch=2, trial=trial))

        assert states(trials) == ["failed"] * 3
        assert session.stop is None

    def test_failures_are_shown_with_reason_and_log(self, bench):
        """
        A failing trial is shown with why it failed and where its output lies.
        """
        bench.run(make("echo no such file; exit 3", trials=1))

        shown = bench.shown.getvalue()
        assert "#0 failed" in shown
        assert "no such file" in shown
        log = shown.partition("log: ")[2].splitlines()[0]
        assert Path(log).read_text() == "no such file\n"

    @pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (2, 3)])
    def test_failed_code_is_tried_again_as_often_as_allowed(self, bench, retries, attempts):
        """
        A crashing trial is run again as often as the blueprint says.
        """
        _, (trial,) = bench.run(make("exit 3", trials=1, trial={"retries": {"code": retries}}))

        assert (trial.state, trial.attempt) == (TrialState.FAILED, attempts)

    def test_retry_that_helps_completes_the_trial(self, bench):
        """
        The outcome of the last attempt counts.
        """
        command = f"test $HPO_ATTEMPT = 2 && {PRINT_Y}"
        _, (trial,) = bench.run(make(command, trials=1, trial={"retries": {"code": 5}}))

        assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 2)
        assert "trying again" in bench.shown.getvalue()

    def test_what_can_never_start_is_not_retried(self, bench):
        """
        A trial that will fail again the same way is not run again.
        """
        source = {"file": "/nowhere/at/all.yaml"}
        _, (trial,) = bench.run(make(trials=1, source=source, trial={"retries": {"code": 5}}))

        assert (trial.state, trial.attempt) == (TrialState.FAILED, 1)

    def test_journal_that_fails_ends_the_session(self, bench):
        """
        Where nothing can be told any more the session ends with that error.
        """
        study = bench.open(make(f"test $HPO_TRIAL = 0 || sleep 60; {PRINT_Y}"))
        session = bench.session(study)
        original = study.storage.finish

        def refuse(*_, **__):
            study.storage.finish = original
            raise StorageError("the journal is gone")

        study.storage.finish = refuse
        with pytest.raises(StorageError, match="the journal is gone"):
            session.run()
        reasons = [trial.reason for trial in study.record().trials[:2]]
        assert reasons == [None, "interrupted: hpo run ended"]


class TestStops:
    """
    Reasons to end before the budget is spent.
    """

    def test_reached_goal_ends_the_others(self, bench):
        """
        Once a rule holds, running trials are ended as pruned and waiting ones called off.
        """
        command = f"test $HPO_TRIAL = 0 || sleep 60; {PRINT_Y}"
        rule = {"kind": "metric", "metric": "y", "at_most": 0}
        began = time.monotonic()
        session, trials = bench.run(make(command, stop=[rule]), slots=2)

        assert states(trials) == ["complete", "pruned", "pruned", "pruned"]
        assert session.stop.rule == "metric"
        assert all("y = 0 is at most 0" in trial.reason for trial in trials[1:])
        assert [trial.attempt for trial in trials] == [1, 1, 0, 0]
        assert time.monotonic() - began < 60

    def test_wall_clock_ends_running_trials(self, bench):
        """
        Time that is up ends a trial which says nothing.
        """
        session, trials = bench.run(
            make("sleep 60", budget={"trials": 2, "wall_clock_s": 0.5}), slots=2
        )

        assert session.stop.rule == "wall_clock"
        assert states(trials) == ["pruned", "pruned"]

    def test_on_failure_stop_ends_at_the_first(self, bench):
        """
        Where failing is to stop the study, the first failure does.
        """
        blueprint = make("exit 1", trials=6, batch=2, trial={"on_failure": "stop"})
        session, trials = bench.run(blueprint, slots=1)

        assert session.stop.rule == "on_failure"
        assert states(trials) == ["failed", "pruned"]

    def test_on_failure_stop_is_resumed_by_running_it_again(self, bench, tmp_path):
        """
        A study that a failed trial stopped goes on by running that one again.
        """
        good = tmp_path / "good"
        command = f"test $HPO_TRIAL != 1 || test -e '{good}' && {PRINT_Y}"
        blueprint = make(command, trials=4, batch=2, trial={"on_failure": "stop"})
        first, trials = bench.run(blueprint, slots=1)
        assert (first.stop.rule, states(trials)) == ("on_failure", ["complete", "failed"])
        good.touch()
        owner = dead_process()
        forget(bench.open(blueprint), 1, owner)

        second, trials = bench.run(blueprint, slots=1)

        assert states(trials) == ["complete"] * 4
        assert second.stop.rule == "trials"

    def test_ended_study_is_left_alone(self, bench):
        """
        A study that somebody ended gets no further trial.
        """
        study = bench.open(make())
        study.stop(Stop("user", "enough"))
        session, trials = bench.run(make())

        assert trials == ()
        assert session.stop == Stop("user", "enough")

    def test_exhausted_space_ends_it(self, bench):
        """
        A grid that is smaller than the budget ends the study as exhausted.
        """
        parameter = {"name": "k", "distribution": {"kind": "choice", "choices": [1, 2, 3]}}
        blueprint = make(
            trials=9, batch=2, strategy={"name": "grid"}, space={"parameters": [parameter]}
        )
        session, trials = bench.run(blueprint)

        assert states(trials) == ["complete"] * 3
        assert session.stop.reason == "all 3 configurations have been tried"


def forget(study, number, owner):
    """
    Make trial *number* look as if the dead process *owner* had run it to failure.
    """
    trial = study.start(number, key=f"{owner}/{number}/9")
    outcome = Outcome(TrialState.FAILED, reason="exit code 1", failure=Failure.CODE)
    study.tell(number, outcome, attempt=trial.attempt)
    study.decide()


class TestLeftovers:
    """
    What a session that is gone left behind.
    """

    def test_waiting_trials_run_first(self, bench):
        """
        Trials that a dead session asked for are run before new ones are asked.
        """
        blueprint = make(trials=3)
        bench.open(blueprint).ask(2, key=f"{dead_process()}/0")
        session, trials = bench.run(blueprint, trials=1)

        assert states(trials) == ["complete"] * 3
        assert session.elsewhere == 0

    def test_interrupted_trials_run_again(self, bench):
        """
        A trial that was interrupted is run again, in a new attempt.
        """
        blueprint = make(trials=1)
        study = bench.open(blueprint)
        owner = dead_process()
        study.ask(1, key=f"{owner}/0")
        study.start(0, key=f"{owner}/0/0")
        study.tell(0, LOST, attempt=1)

        _, (trial,) = bench.run(blueprint)
        assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 2)

    def test_running_again_keeps_to_the_budget(self, bench):
        """
        A lost trial whose place was given to another is not run again.
        """
        blueprint = make(trials=1)
        study = bench.open(blueprint)
        owner = dead_process()
        study.ask(1, key=f"{owner}/0")
        study.start(0, key=f"{owner}/0/0")
        study.tell(0, LOST, attempt=1)
        study.ask(1, key=f"{owner}/1")

        _, trials = bench.run(blueprint)
        assert states(trials) == ["failed", "complete"]

    def test_job_that_outlived_its_session_is_followed(self, bench):
        """
        A trial whose session was killed is not run twice: its job is found again.
        """
        blueprint = make(f"echo run >> ../runs; sleep 0.5; {PRINT_Y}", trials=1)
        study = bench.open(blueprint)
        owner = dead_process()
        study.ask(1, key=f"{owner}/0")
        fork = os.fork()
        if fork == 0:
            said = []
            run = TrialRun(
                bench.open(blueprint),
                0,
                key=f"{owner}/0/0",
                artifacts=bench.folder / "files",
                log=said.append,
            )
            handle = bench.folder / "files" / "s" / "trials" / "00000" / ".jobs" / "trial.1.json"
            import threading

            threading.Thread(target=run.run, daemon=True).start()
            while not handle.exists():
                time.sleep(0.01)
            os._exit(0)
        os.waitpid(fork, 0)

        _, (trial,) = bench.run(blueprint)
        assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 1)
        runs = bench.folder / "files" / "s" / "trials" / "runs"
        assert runs.read_text() == "run\n"
        assert "#0 was left running: following it" in bench.shown.getvalue()

    def test_lost_job_is_run_again(self, bench):
        """
        A running trial whose job is nowhere to be found is begun anew.
        """
        blueprint = make(trials=1)
        study = bench.open(blueprint)
        owner = dead_process()
        study.ask(1, key=f"{owner}/0")
        study.start(0, key=f"{owner}/0/0")
        study.measure(0, [Measurement({"y": 9}, time=0.0)], attempt=1, first=0)

        _, (trial,) = bench.run(blueprint)
        assert (trial.state, trial.values) == (TrialState.COMPLETE, (0.0,))

    @pytest.mark.parametrize(
        "key",
        [
            "scheduled__2026-01-01/round_00/suggest",
            "hpo-run/another-machine/12-34/0",
            "hpo-run/no number/0",
            "",
        ],
    )
    def test_what_others_work_on_is_left_alone(self, bench, key):
        """
        Trials of a DAG, or of another machine, are theirs, unless taken over.
        """
        blueprint = make(trials=2)
        bench.open(blueprint).ask(1, key=key or "-")
        session, trials = bench.run(blueprint)
        assert states(trials) == ["waiting", "complete"]
        assert (session.stop, session.elsewhere) == (None, 1)

        session, trials = bench.run(blueprint, take_over=True)
        assert states(trials) == ["complete", "complete"]
        assert session.stop.rule == "trials"

    def test_living_process_keeps_its_trials(self, bench):
        """
        Trials of an ``hpo run`` that lives are its own.
        """
        study = bench.open(make())
        study.ask(2, key=f"{this_process()}/0")

        left = find_leftovers(study, None)
        assert (left.waiting, left.elsewhere) == ((), 2)

    def test_waiting_trials_of_an_ended_study_are_called_off(self, bench):
        """
        Where the study has ended what was left waiting is called off.
        """
        blueprint = make(trials=3)
        study = bench.open(blueprint)
        study.ask(2, key=f"{dead_process()}/0")
        study.stop(Stop("user", "enough"))

        _, trials = bench.run(blueprint)
        assert states(trials) == ["pruned", "pruned"]
        assert trials[0].reason == "the study ended: enough"

    def test_called_off_trials_run_after_the_budget_was_raised(self, bench):
        """
        What was called off is not lost: a study that opens again runs it.
        """
        rule = {"kind": "metric", "metric": "y", "at_most": 0}
        study = bench.open(make(trials=3, stop=[rule]))
        owner = dead_process()
        study.ask(3, key=f"{owner}/0")
        study.start(0, key=f"{owner}/0/0")
        study.tell(0, Outcome(TrialState.COMPLETE, values=(0.0,)), attempt=1)
        study.decide()
        for number in (1, 2):
            study.tell(number, Outcome(TrialState.PRUNED, reason="called off"), attempt=0)

        _, trials = bench.run(make(trials=3))
        assert states(trials) == ["complete"] * 3
        assert len(trials) == 3
