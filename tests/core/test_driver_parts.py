"""
An attempt in parts: one process hands its job in, another looks at it, a third goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import ClassVar

import pytest

from airflow_hpo.driver import TrialRun, build_job, end_jobs, find_strays, mend, trial_folder
from airflow_hpo.driver.jobs import jobs_of
from airflow_hpo.driver.memory import own_key
from airflow_hpo.driver.strays import StrayKind
from airflow_hpo.driver.workspace import claim_folder
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.runners import RUNNERS, create_runner
from airflow_hpo.runners.subprocess import SubprocessRunner
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

# How long anything here may take before it is called stuck, in seconds.
PATIENCE_S = 60


def waits(file, *values):
    """
    Return a command that prints the first value, waits for a file beside the workspaces, and
    prints the others; that it was started stands in another file.
    """
    # In a command braces are doubled.
    first, *others = [f"""echo '{{{{"y": {value}}}}}'""" for value in values]
    wait = f"while [ ! -e ../../{file} ]; do sleep 0.02; done"
    return "; ".join(["echo x >> ../../starts", "echo first", first, wait, "echo last", *others])


WAITS = waits("go", 2.0, 1.0)


def make(*commands, trial=None, steps=None, **changes):
    """
    Return a blueprint whose steps run *commands*, one after another.
    """
    own = [{"name": f"step{i}", "command": command} for i, command in enumerate(commands)]
    x = {"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}
    return Blueprint.model_validate(
        {
            "name": "parts",
            "objectives": [{"metric": "y", "direction": "minimize"}],
            "space": {"parameters": [x]},
            "strategy": {"name": "random", "seed": 7},
            "budget": {"trials": 4},
            "trial": {"steps": steps or own, "grace_s": 1, **(trial or {})},
            **changes,
        }
    )


class Bench:
    """
    One study in a SQLite file, worked on by processes that know nothing of each other.
    """

    def __init__(self, folder, blueprint):
        self.files = folder / "files"
        self.url = f"sqlite:///{folder / 'studies.db'}"
        self.blueprint = blueprint
        self.lines = []
        self.study().ask(4, key="ask")

    def study(self):
        """
        Return the study, by a connection of its own.
        """
        return Study.open(open_storage(self.url), "s", self.blueprint)

    def attempt(self, *, number=0, key="try 1", **options):
        """
        Return an attempt as another process would make it.
        """
        options = {"log": self.lines.append, "log_name": "log", **options}
        return TrialRun(self.study(), number, key=key, artifacts=self.files, **options)

    def trial(self, number=0):
        """
        Return a trial as it stands.
        """
        return self.study().record().trials[number]

    @property
    def trials(self):
        """
        The folder of the workspaces.
        """
        return self.files / "s" / "trials"

    def go(self, file="go"):
        """
        Let the jobs end that wait for it.
        """
        (self.files / "s" / file).touch()

    def starts(self):
        """
        Return how many jobs were started.
        """
        return len((self.files / "s" / "starts").read_text().split())

    def measured(self, number=0):
        """
        Return the values of y on record, in order.
        """
        found = self.study().storage.measurements("s", number)
        return [measurement.metrics["y"] for measurement in found]


@pytest.fixture(name="bench")
def _bench(tmp_path):
    """
    Makes a bench from a blueprint.
    """

    def make_bench(blueprint):
        (tmp_path / "files" / "s").mkdir(parents=True)
        return Bench(tmp_path, blueprint)

    return make_bench


def always(_):
    """
    Leave every job to somebody else.
    """
    return True


def polled(run, until=None):
    """
    Poll until the job has ended, or until a condition holds.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not run.poll():
        if until is not None and until():
            return False
        assert time.monotonic() < deadline, "stuck"
        time.sleep(0.02)
    return True


def test_job_is_handed_in_followed_and_told_by_three(bench):
    """
    The outcome is the same as if one process had seen to all of it.
    """
    own = bench(make(WAITS))

    assert own.attempt().submit(always) is None
    assert own.trial().state is TrialState.RUNNING
    follower = own.attempt()
    assert follower.take_up()
    assert not polled(follower, lambda: "first" in own.lines)
    own.go()
    assert polled(follower)
    told = follower.conclude()

    assert (told.state, told.values, told.attempt) == (TrialState.COMPLETE, (1.0,), 1)
    assert own.attempt().submit(always) == told == own.trial()
    assert own.measured() == [2.0, 1.0]
    assert own.starts() == 1


def test_who_takes_over_shows_only_what_was_not_shown(bench):
    """
    Over any number of followers each line is in the log once, and each measurement on record once.
    """
    own = bench(make(WAITS))
    own.attempt().submit(always)
    first = own.attempt()
    first.take_up()
    polled(first, lambda: len(own.lines) == 2)

    own.go()
    second = own.attempt()
    second.take_up()
    polled(second)
    second.conclude()

    assert own.lines == ["first", '{"y": 2.0}', "last", '{"y": 1.0}']
    assert own.measured() == [2.0, 1.0]


def test_another_log_gets_all_lines(bench):
    """
    What was shown in one log is missing in no other.
    """
    own = bench(make(WAITS))
    own.attempt().submit(always)
    own.go()
    for name in ("try 1", "try 2"):
        follower = own.attempt(log_name=name)
        follower.take_up()
        polled(follower)

    assert own.lines == ["first", '{"y": 2.0}', "last", '{"y": 1.0}'] * 2


def test_submitting_again_starts_no_second_job(bench):
    """
    Whoever comes back under the attempt's key finds the job.
    """
    own = bench(make(WAITS))

    for _ in range(3):
        assert own.attempt().submit(always) is None
    own.go()

    assert own.attempt().run().state is TrialState.COMPLETE
    assert own.starts() == 1


def test_job_whose_handle_was_never_noted_is_found(bench):
    """
    A process that was killed between handing a job in and noting that has lost nothing.
    """
    own = bench(make(WAITS))
    study = own.study()
    trial = study.start(0, key="try 1")
    folder = trial_folder(own.files, "s", trial)
    claim_folder(folder, "s", trial)
    step = own.blueprint.trial.steps[0]
    job = build_job(own.blueprint, trial, step, study="s", workspace=folder)
    create_runner(own.blueprint.trial.runner).submit(job)

    assert own.attempt().submit(always) is None
    own.go()

    assert own.attempt().run().state is TrialState.COMPLETE
    assert own.starts() == 1


class TestSteps:
    """
    Several steps, each a job of its own.
    """

    def test_each_step_may_be_anybody_s(self, bench):
        """
        One process goes from step to step, others look at the jobs; all measurements are kept.
        """
        own = bench(make(waits("first", 5.0), WAITS))
        for file in ("first", "go"):
            assert own.attempt().submit(always) is None
            own.go(file)
            follower = own.attempt()
            assert follower.take_up()
            polled(follower)
            told = follower.conclude()

        assert (told.state, told.values) == (TrialState.COMPLETE, (1.0,))
        assert own.measured() == [5.0, 2.0, 1.0]
        assert own.attempt().run() == told

    def test_step_taken_over_in_its_middle_keeps_the_order(self, bench):
        """
        Measurements of earlier steps, and those of this one, are on record once.
        """
        own = bench(make(waits("first", 5.0), WAITS))
        own.attempt().submit(always)
        own.go("first")
        follower = own.attempt()
        follower.take_up()
        polled(follower)
        assert follower.conclude() is None
        own.attempt().submit(always)
        for _ in range(2):
            follower = own.attempt()
            follower.take_up()
            polled(follower, lambda: own.measured() == [5.0, 2.0])
        own.go()

        assert own.attempt().run().values == (1.0,)
        assert own.measured() == [5.0, 2.0, 1.0]

    def test_step_that_fails_ends_the_trial(self, bench):
        """
        Its follower tells the failure, and no further step starts.
        """
        own = bench(make(f"{WAITS}; echo broken; exit 3", WAITS))
        own.attempt().submit(always)
        own.go()
        follower = own.attempt()
        follower.take_up()
        polled(follower)

        told = follower.conclude()

        assert (told.state, told.failure, told.exit_code) == (TrialState.FAILED, Failure.CODE, 3)
        assert "broken" in told.reason
        assert own.attempt().submit(always) == told
        assert own.starts() == 1

    def test_rows_of_a_file_are_kept_once(self, bench):
        """
        A file of metrics that grows over two steps is read by both followers, and kept once.
        """
        write = """; echo '{{"y": %s}}' >> "$HPO_OUTPUT_DIR/m.jsonl" """
        metrics = {"format": "file", "options": {"path": "m.jsonl"}}
        commands = [waits("first", 0) + write % 4, waits("second", 0) + write % 3]
        own = bench(make(*commands, trial={"metrics": metrics}))
        for file in ("first", "second"):
            own.attempt().submit(always)
            own.go(file)
            follower = own.attempt()
            follower.take_up()
            polled(follower)
            told = follower.conclude()

        assert told.values == (3,)
        assert own.measured() == [4, 3]


class TestEnding:
    """
    Jobs that are ended before their time, by whoever follows them.
    """

    def test_end_of_the_study_ends_a_job_that_was_left(self, bench):
        """
        Its follower ends it, and what it measured last is on record.
        """
        own = bench(make(WAITS))
        own.attempt().submit(always)
        follower = own.attempt()
        follower.take_up()
        polled(follower, lambda: own.measured() == [2.0])

        own.study().stop(Stop("user", "enough"))
        polled(follower)
        told = follower.conclude()

        assert told.state is TrialState.PRUNED
        assert (told.metrics, told.reason) == ({"y": 2.0}, "the study ended: enough")

    def test_reason_outlives_who_had_it(self, bench):
        """
        Whoever finds the job ended tells why, though somebody else ended it.
        """
        own = bench(make(WAITS, trial={"until": "y < 3"}))
        own.attempt().submit(always)
        follower = own.attempt()
        follower.take_up()
        polled(follower)  # and is killed before it tells

        told = own.attempt().run()

        assert (told.state, told.values) == (TrialState.COMPLETE, (2.0,))
        assert "y < 3" in told.reason

    def test_giving_up_ends_the_job(self, bench):
        """
        A job that takes too long is gone, and the attempt failed by the machine's fault.
        """
        own = bench(make(WAITS))
        own.attempt().submit(always)

        told = own.attempt().give_up("took too long")

        assert (told.state, told.failure) == (TrialState.FAILED, Failure.INFRASTRUCTURE)
        assert told.reason == "took too long"
        assert [job.runs() for job in jobs_of(own.study(), told, own.files)] == [False]
        assert own.attempt().give_up("again") == told

    def test_new_attempt_ends_the_older_s_job(self, bench):
        """
        Two attempts at one trial never run at once.
        """
        own = bench(make(WAITS))
        own.attempt().submit(always)
        assert own.attempt(key="try 2").submit(always) is None

        runs = {job.attempt: job.runs() for job in jobs_of(own.study(), own.trial(), own.files)}
        own.go()

        assert runs == {1: False, 2: True}
        assert own.attempt(key="try 2").run().attempt == 2


class TestOwners:
    """
    Who comes back may go on with an attempt that nobody ended.
    """

    def test_unfinished_attempt_is_its_owner_s(self, bench):
        """
        The same owner finds its key; another owner finds nothing.
        """
        own = bench(make(WAITS))
        assert own_key(own.study(), 0, owner="task") is None
        own.attempt(owner="task").submit(always)

        assert own_key(own.study(), 0, owner="task") == "try 1"
        assert own_key(own.study(), 0, owner="cleared") is None

    def test_attempt_that_ended_well_is_not_repeated(self, bench):
        """
        An owner that never heard of the end finds it; one whose attempt failed begins anew.
        """
        own = bench(make(WAITS))
        own.attempt(number=1, owner="task").submit(always)
        own.attempt(number=1).give_up("lost")
        own.go()
        told = own.attempt(owner="task").run()

        assert own_key(own.study(), 0, owner="task") == "try 1"
        assert own.attempt(owner="task").run() == told
        assert own_key(own.study(), 1, owner="task") is None

    def test_attempt_without_owner_is_nobody_s(self, bench):
        """
        What is not to be gone on with is not found.
        """
        own = bench(make(WAITS))
        own.study().start(0, key="try 1")

        assert own_key(own.study(), 0, owner="task") is None


class TestStrays:
    """
    What is left over, wherever it runs.
    """

    def test_job_that_was_left_to_others_is_no_stray(self, bench):
        """
        Nobody follows it at this moment, and somebody will.
        """
        own = bench(make(WAITS))
        leave = f"""
import sys; sys.path[:0] = {sys.path!r}
from airflow_hpo.driver import TrialRun
from airflow_hpo.study import Study
from airflow_hpo.storage import open_storage
from pathlib import Path
study = Study.load(open_storage({own.url!r}), "s")
run = TrialRun(study, 0, key="try 1", artifacts=Path({str(own.files)!r}), log=print)
assert run.submit(lambda _: True) is None
"""
        subprocess.run([sys.executable, "-c", leave], check=True, timeout=PATIENCE_S)

        assert find_strays(own.study(), own.files) == ()
        stray = find_strays(own.study(), own.files, take_over=True)[0]
        assert stray.kind is StrayKind.UNATTENDED
        own.go()
        told = mend(own.study(), stray, artifacts=own.files, log=own.lines.append, follow=True)
        assert told.state is TrialState.COMPLETE

    def test_jobs_of_every_step_are_ended(self, bench):
        """
        A later step runs elsewhere than the first one, and is found nonetheless.
        """
        inline = {"name": "inline", "options": {"callable": "builtins:dict"}}
        steps = [
            {"name": "first", "command": "true", "runner": inline},
            {"name": "second", "command": WAITS},
        ]
        own = bench(make(steps=steps, trial={"workdir": None}))
        own.attempt().submit(lambda spec: spec.name == "subprocess")

        assert end_jobs(own.study(), own.trial(), own.files) == 1
        assert [job.step for job in jobs_of(own.study(), own.trial(), own.files)] == [
            "first",
            "second",
        ]
        assert not any(job.runs() for job in jobs_of(own.study(), own.trial(), own.files))

    def test_services_are_asked_only_about_jobs_that_nobody_saw_end(self, bench, monkeypatch):
        """
        Of a thousand trials that ended well, none costs a question.
        """
        monkeypatch.setitem(RUNNERS.entries, "asked", f"{__name__}:Asked")
        own = bench(make(WAITS, trial={"runner": {"name": "asked"}}))
        own.go()
        for number in (0, 1):
            own.attempt(number=number).run()
        own.attempt(number=1, key="try 2").give_up("lost")
        Asked.questions.clear()

        assert find_strays(own.study(), own.files) == ()
        assert {number for number, _ in Asked.questions} == {1}


class Asked(SubprocessRunner):
    """
    A runner that counts the questions about its jobs, which seem to run elsewhere.
    """

    is_remote = True
    questions: ClassVar = []

    def state(self, handle):
        """
        Note the question.
        """
        self.questions.append((int(json.loads(handle)["owner"].rpartition("/")[2]), "state"))
        return super().state(handle)

    def find(self, *, study, trial, workspace):
        """
        Note the question.
        """
        self.questions.append((trial, "find"))
        return super().find(study=study, trial=trial, workspace=workspace)
