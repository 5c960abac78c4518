"""
Trials whose tasks leave their jobs to the triggerer: task, trigger, task again.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from uuid import uuid4

import pytest

pytest.importorskip("airflow")

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.driver.jobs import jobs_of
from airflow_hpo.errors import TrialFailedError
from airflow_hpo.hooks.compat import TaskDeferralTimeout, TaskDeferred
from airflow_hpo.hooks.study import StudyHook
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.operators import SlotOperator, TrialOperator
from airflow_hpo.runners import RUNNERS
from airflow_hpo.runners.subprocess import SubprocessRunner
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.triggers import job as job_trigger

# How long anything here may take before it is called stuck, in seconds.
PATIENCE_S = 60


class Elsewhere(SubprocessRunner):
    """
    A runner that says of its jobs that they run on other machines.
    """

    is_remote = True


class Bench:
    """
    One study whose trials wait for a file; their tasks, triggers and processes all forget.
    """

    def __init__(self, folder, document, **trial):
        self.folder = folder
        wait = f"while [ ! -e {folder}/go ]; do sleep 0.05; done"
        command = f"""echo x >> {folder}/starts; echo first; printf '{{{{"y": 0.5}}}}\\n'
{wait}; echo last; printf '{{{{"y": %s}}}}\\n' {{x}}"""
        given = {"command": command, "grace": "1s", **trial}
        text = document("parts", trial={key: given[key] for key in given if given[key] is not None})
        (self.blueprint,) = parse_blueprints(text, file=str(folder / "parts.yaml"))
        self.study().ask(2, key="ask")

    def study(self):
        """
        Return the study, by a connection of its own.
        """
        return Study.open(open_storage(f"sqlite:///{self.folder}/s.db"), "s", self.blueprint)

    def operator(self, **options):
        """
        Return a trial's operator, as a worker makes it anew each time.
        """
        return TrialOperator(
            task_id="trial",
            blueprint=self.blueprint,
            trial={"number": 0},
            study="s",
            **{"deferrable": True, **options},
        )

    def context(self, *, tries=1, max_tries=2, index=0):
        """
        Return the context of one try.
        """
        ti = SimpleNamespace(
            dag_id="parts",
            run_id="run",
            task_id="trial",
            map_index=index,
            try_number=tries,
            max_tries=max_tries,
            id=uuid4(),
        )
        return {"ti": ti}

    def deferred(self, operator=None, **place):
        """
        Run a task up to where it defers, and return the trigger as the triggerer makes it.
        """
        with pytest.raises(TaskDeferred) as raised:
            (operator or self.operator()).execute(self.context(**place))
        assert raised.value.method_name == "resume"
        return self.trigger(raised.value.trigger)

    def trigger(self, trigger):
        """
        Return the same trigger in another process.
        """
        path, arguments = json.loads(json.dumps(trigger.serialize()))
        module, _, name = path.rpartition(".")
        copy = getattr(import_module(module), name)(**arguments)
        copy.task_instance = SimpleNamespace(
            dag_id="parts", run_id="run", task_id="trial", map_index=0
        )
        copy.lines = []
        copy._follower._log = copy.lines.append
        return copy

    def go(self):
        """
        Let the jobs end.
        """
        (self.folder / "go").touch()

    def starts(self):
        """
        Return how many jobs were started.
        """
        return len((self.folder / "starts").read_text().split())

    def trial(self):
        """
        Return the trial as it stands.
        """
        return self.study().record().trials[0]

    def running(self):
        """
        Return the attempts whose jobs run.
        """
        jobs = jobs_of(self.study(), self.trial(), StudyHook().artifacts())
        return [job.attempt for job in jobs if job.runs()]


@pytest.fixture(name="bench")
def _bench(tmp_path, document, monkeypatch):
    """
    Makes a bench; what it started is ended afterwards.
    """
    monkeypatch.setenv("HPO_STORAGE", f"sqlite:///{tmp_path}/s.db")
    monkeypatch.setenv("AIRFLOW__HPO__ARTIFACTS", str(tmp_path / "files"))
    monkeypatch.setitem(RUNNERS.entries, "elsewhere", f"{__name__}:Elsewhere")
    monkeypatch.setattr(job_trigger, "_SHORTEST_S", 0.05)
    monkeypatch.setattr(job_trigger, "_PAUSE_S", 0.05)
    yield lambda **trial: Bench(tmp_path, document, **trial)
    (tmp_path / "go").touch()


async def fired(trigger):
    """
    Run a trigger to its event.
    """
    async for event in trigger.run():
        return event.payload
    return None


async def started(trigger, until):
    """
    Run a trigger until a condition holds; return its task.
    """
    task = asyncio.ensure_future(fired(trigger))
    deadline = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(until):
        assert time.monotonic() < deadline, "stuck"
        assert not task.done(), task
        await asyncio.sleep(0.02)
    return task


async def stopped(task):
    """
    Stop a trigger as a triggerer does that is shut down.
    """
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_task_leaves_and_comes_back(bench):
    """
    The task hands the job in and leaves, the trigger follows it, the task returns the values.
    """
    own = bench()
    trigger = own.deferred()

    async def follow():
        task = await started(trigger, lambda: own.trial().metrics == {"y": 0.5})
        own.go()
        return await asyncio.wait_for(task, PATIENCE_S)

    event = asyncio.run(follow())

    assert (event["trial"], event["trouble"]) == (0, None)
    x = own.trial().configuration["x"]
    assert own.trial().state is TrialState.COMPLETE
    answer = own.operator().resume(own.context(), event)
    assert answer == {"number": 0, "state": "complete", "values": {"y": x}}
    assert own.starts() == 1
    assert trigger.lines == ["first", '{"y": 0.5}', "last", f'{{"y": {x!r}}}']


def test_triggerer_may_be_shut_down_at_any_time(bench):
    """
    The job goes on, the next triggerer goes on with it, and each line is shown once.
    """
    own = bench()
    first = own.deferred()
    second = own.trigger(first)

    async def follow():
        await stopped(await started(first, lambda: len(first.lines) == 2))
        await first.cleanup()
        assert own.running() == [1]
        own.go()
        return await asyncio.wait_for(fired(second), PATIENCE_S)

    event = asyncio.run(follow())

    assert own.operator().resume(own.context(), event)["state"] == "complete"
    assert first.lines == ["first", '{"y": 0.5}']
    assert second.lines[0] == "last"
    assert len(second.lines) == 2
    assert own.starts() == 1


def test_each_step_is_left_and_come_back_to(bench, tmp_path):
    """
    A task of two steps leaves twice, and both steps' measurements and lines are there.
    """

    def waits(file, value):
        wait = f"while [ ! -e {tmp_path}/{file} ]; do sleep 0.05; done"
        return f"""echo x >> {tmp_path}/starts; {wait}; printf '{{{{"y": {value}}}}}\\n'"""

    steps = [{"name": name, "command": waits(name, value)} for name, value in [("a", 2), ("b", 1)]]
    own = bench(command=None, steps=steps)
    first = own.deferred()
    (tmp_path / "a").touch()
    event = asyncio.run(fired(first))
    assert own.trial().state is TrialState.RUNNING

    task = own.operator()
    with pytest.raises(TaskDeferred) as raised:
        task.resume(own.context(), event)
    second = own.trigger(raised.value.trigger)
    (tmp_path / "b").touch()
    event = asyncio.run(fired(second))

    assert own.operator().resume(own.context(), event)["values"] == {"y": 1}
    assert (first.lines, second.lines) == (['{"y": 2}'], ['{"y": 1}'])
    assert own.starts() == 2


class TestWorkers:
    """
    Tasks that come back without having been asked to.
    """

    def test_killed_worker_s_next_try_goes_on_with_the_job(self, bench):
        """
        It is the same attempt, and there is one job.
        """
        own = bench()
        own.deferred()

        trigger = own.deferred(tries=2)
        own.go()
        event = asyncio.run(fired(trigger))

        answer = own.operator().resume(own.context(tries=2), event)
        assert answer["state"] == "complete"
        assert (own.trial().attempt, own.starts()) == (1, 1)

    def test_worker_killed_after_the_end_repeats_nothing(self, bench):
        """
        Its next try returns what was told.
        """
        own = bench()
        trigger = own.deferred()
        own.go()
        asyncio.run(fired(trigger))

        answer = own.operator().execute(own.context(tries=2))

        assert answer["state"] == "complete"
        assert own.starts() == 1

    def test_another_try_has_its_own_whole_log(self, bench):
        """
        What the first try's log holds is in the second's, too.
        """
        own = bench()
        first = own.deferred()

        async def follow():
            await stopped(await started(first, lambda: len(first.lines) == 2))

        asyncio.run(follow())
        second = own.deferred(tries=2)
        own.go()
        asyncio.run(fired(second))

        assert len(second.lines) == 4

    def test_cleared_task_starts_anew(self, bench):
        """
        Whoever clears it wants the trial run again: the old job is ended first.
        """
        own = bench()
        own.deferred()

        own.deferred(tries=2, max_tries=3)

        assert (own.trial().attempt, own.starts()) == (2, 2)
        assert own.running() == [2]

    def test_remote_job_is_gone_on_with_where_nothing_is_deferred(self, bench):
        """
        Without a triggerer a killed worker's job is followed by its next try as well.
        """
        own = bench(runner="elsewhere")
        own.deferred()  # as a worker that is killed leaves it
        own.go()

        answer = own.operator(deferrable=False).execute(own.context(tries=2))

        assert answer["state"] == "complete"
        assert (own.trial().attempt, own.starts()) == (1, 1)


class TestKills:
    """
    What becomes of the job of a task that somebody stopped.
    """

    @pytest.fixture(name="states")
    def _states(self, monkeypatch):
        """
        Says what Airflow says of the task's state.
        """

        def say(*said):
            answers = list(said)

            def states(*_):
                state = answers.pop(0) if len(answers) > 1 else answers[0]
                if isinstance(state, Exception):
                    raise state
                return {"run": {"trial_0": state}}

            monkeypatch.setattr(job_trigger, "_states", states)
            monkeypatch.setattr(job_trigger, "_ASKED_AGAIN_S", 0.01)

        return say

    def kill(self, own, trigger):
        """
        Cancel a trigger that follows, and call its `on_kill` as Airflow does.
        """

        async def follow():
            await stopped(await started(trigger, lambda: len(trigger.lines) == 2))
            await trigger.on_kill()
            await trigger.cleanup()

        asyncio.run(follow())
        return own.running()

    @pytest.mark.parametrize("state", ["failed", "success", "skipped", None, "scheduled"])
    def test_job_of_a_task_that_was_stopped_is_gone(self, bench, states, state):
        """
        It is told as the machine's failure, with what it had measured.
        """
        own = bench()
        states(state)

        assert self.kill(own, own.deferred()) == []

        told = own.trial()
        assert (told.state, told.failure) == (TrialState.FAILED, Failure.INFRASTRUCTURE)
        assert (told.reason, told.metrics) == ("the task was stopped", {"y": 0.5})

    @pytest.mark.parametrize("state", ["deferred", RuntimeError("no answer")])
    def test_job_of_a_task_that_still_waits_goes_on(self, bench, states, state):
        """
        Another triggerer took it over, or nobody can tell: no job is ended for that.
        """
        own = bench()
        states(state)

        assert self.kill(own, own.deferred()) == [1]
        assert own.trial().state is TrialState.RUNNING

    def test_busy_airflow_is_asked_again(self, bench, states):
        """
        A job is not left alone because Airflow was too busy to tell at first.
        """
        own = bench()
        states(RuntimeError("no answer"), RuntimeError("no answer"), "failed")

        assert self.kill(own, own.deferred()) == []
        assert own.trial().reason == "the task was stopped"

    def test_trigger_that_never_looked_ends_the_job_too(self, bench, states):
        """
        A task may be stopped as soon as it is deferred.
        """
        own = bench()
        states("failed")

        asyncio.run(own.deferred().on_kill())

        assert own.running() == []
        assert own.trial().reason == "the task was stopped"

    def test_stop_before_airflow_3_3_is_noticed_at_the_end(self, bench, states, monkeypatch):
        """
        Where Airflow calls no `on_kill`, the trigger asks why it was cancelled.
        """
        own = bench()
        states("failed")
        trigger = own.deferred()
        monkeypatch.delattr(job_trigger.BaseTrigger, "on_kill", raising=False)

        async def follow():
            await stopped(await started(trigger, lambda: len(trigger.lines) == 2))
            await trigger.cleanup()

        asyncio.run(follow())

        assert own.running() == []


class TestTrouble:
    """
    Jobs that last too long, or that the triggerer cannot see.
    """

    def test_execution_timeout_counts_while_deferred(self, bench):
        """
        What is left of it is the trigger's time; when that is over the job is ended and told.
        """
        own = bench()
        hour = timedelta(hours=1)
        with pytest.raises(TaskDeferred) as raised:
            own.operator(execution_timeout=hour).execute(own.context())
        assert hour / 2 < raised.value.timeout <= hour

        with pytest.raises(TaskDeferralTimeout):
            own.operator(execution_timeout=hour).resume_execution(
                "__fail__", {"error": "Trigger timeout"}, own.context()
            )

        assert own.running() == []
        assert "execution_timeout" in own.trial().reason
        assert own.trial().failure is Failure.INFRASTRUCTURE

    def test_job_s_own_timeout_counts(self, bench):
        """
        A job that takes longer than the blueprint allows fails so, deferred or not.
        """
        own = bench(timeout="1s")
        event = asyncio.run(fired(own.deferred()))

        with pytest.raises(Exception, match="took longer than 1 s"):
            own.operator().resume(own.context(), event)
        assert own.trial().failure is Failure.TIMEOUT

    def test_task_follows_what_the_triggerer_cannot_see(self, bench, monkeypatch):
        """
        After some patience the trigger hands the job back, and the task stays with it.
        """
        own = bench()
        trigger = own.deferred()
        monkeypatch.setattr(job_trigger, "_PATIENCE_S", 0.0)

        def nothing():
            raise ImportError("no module named docker")

        monkeypatch.setattr(trigger._follower, "poll", nothing)
        event = asyncio.run(fired(trigger))
        assert event["trouble"] == "ImportError: no module named docker"
        own.go()

        assert own.operator().resume(own.context(), event)["state"] == "complete"
        assert own.starts() == 1

    def test_task_follows_what_no_trigger_follows(self, bench):
        """
        A trigger that Airflow cannot make at all fails no trial.
        """
        own = bench()
        own.deferred()
        own.go()

        answer = own.operator().resume_execution(
            "__fail__", {"error": "Trigger failure", "traceback": ["no such class"]}, own.context()
        )

        assert answer["state"] == "complete"

    def test_journal_that_is_away_is_waited_for(self, bench, monkeypatch):
        """
        The trigger looks again, from the start, and loses nothing.
        """
        own = bench()
        trigger = own.deferred()
        own.go()
        look, failures = trigger._follower.poll, iter([True, True])

        def poll():
            if next(failures, False):
                raise job_trigger.StorageError("connection refused")
            return look()

        monkeypatch.setattr(trigger._follower, "poll", poll)
        monkeypatch.setattr(job_trigger, "_PATIENCE_S", 0.0)

        assert asyncio.run(fired(trigger))["trouble"] is None
        assert own.trial().state is TrialState.COMPLETE

    def test_failure_is_tried_again_as_without_deferring(self, bench):
        """
        The task comes back to raise what Airflow tries again, or not, as the blueprint says.
        """
        own = bench(command="sleep 1; exit 3", retries={"code": 1})
        event = asyncio.run(fired(own.deferred()))
        with pytest.raises(TrialFailedError, match="exit code 3"):
            own.operator().resume(own.context(), event)

        event = asyncio.run(fired(own.deferred(tries=2)))
        with pytest.raises(Exception, match="exit code 3") as raised:
            own.operator().resume(own.context(tries=2), event)

        assert type(raised.value).__name__ == "AirflowFailException"
        assert own.trial().attempt == 2


class TestChoice:
    """
    Who decides whether a task defers.
    """

    @pytest.mark.parametrize(
        ("runner", "default", "blueprint", "operator", "defers"),
        [
            ("subprocess", "true", None, None, False),
            ("elsewhere", "true", None, None, True),
            ("elsewhere", "false", None, None, False),
            ("elsewhere", "true", False, None, False),
            ("subprocess", "false", True, None, True),
            ("subprocess", "false", True, False, False),
            ("elsewhere", "false", False, True, True),
        ],
    )
    def test_operator_then_blueprint_then_airflow(
        self, bench, monkeypatch, runner, default, blueprint, operator, defers
    ):
        """
        Airflow's own setting is about jobs that run elsewhere.
        """
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", default)
        given = {} if blueprint is None else {"deferrable": blueprint}
        own = bench(runner=runner, **given)
        task = own.operator(deferrable=operator)
        if defers:
            own.deferred(task)
        else:
            own.go()
            assert task.execute(own.context())["state"] == "complete"


def test_slot_defers_with_its_trial(bench):
    """
    A slot asks once, leaves, and returns the values of the same trial.
    """
    own = bench()

    def slot():
        return SlotOperator(
            task_id="trial", blueprint=own.blueprint, slot=0, study="s", deferrable=True
        )

    trigger = own.deferred(slot())
    own.go()
    event = asyncio.run(fired(trigger))
    answer = slot().resume(own.context(), event)

    assert (answer["number"], answer["state"]) == (2, "complete")
    assert len(own.study().record().trials) == 3


def test_event_loop_is_never_blocked(bench, monkeypatch):
    """
    While looks at jobs block, everything else in the triggerer goes on.
    """
    own = bench()
    first = own.deferred()
    triggers = [own.trigger(first) for _ in range(8)]
    gate = threading.Event()

    def look():
        assert gate.wait(PATIENCE_S), "the event loop was blocked"
        return True

    for trigger in triggers:
        monkeypatch.setattr(trigger._follower, "poll", look)

    async def follow():
        tasks = [asyncio.ensure_future(fired(trigger)) for trigger in triggers]
        for _ in range(20):
            await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*tasks)

    assert [event["trouble"] for event in asyncio.run(follow())] == [None] * 8
