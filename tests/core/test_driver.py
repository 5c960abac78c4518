"""
The driver: rounds, and attempts at trials from submitting to telling.
"""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from airflow_hpo.driver import (
    TrialRun,
    build_job,
    default_artifacts,
    evaluate_round,
    safe_name,
    study_folder,
    suggest_round,
    trial_folder,
    trial_label,
)
from airflow_hpo.errors import TrialError, TrialInvalidError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.trial import Failure, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.processes import is_running

# In a command braces are doubled.
PRINT_Y = """echo '{{"y": 1.5}}'"""

# How long anything here may take before it is called stuck, in seconds.
PATIENCE_S = 60


def make(command=PRINT_Y, *, parameters=(), trial=None, step=None, **changes):
    """
    Return a blueprint that runs *command*.
    """
    x = {"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}
    return Blueprint.model_validate(
        {
            "name": "parabola",
            "objectives": [{"metric": "y", "direction": "minimize"}],
            "space": {"parameters": parameters or [x]},
            "strategy": {"name": "random", "seed": 7},
            "budget": {"trials": 4},
            "trial": {"steps": [{"command": command, **(step or {})}], **(trial or {})},
            **changes,
        }
    )


@pytest.fixture(name="opened")
def _opened(tmp_path):
    """
    Opens a study in a SQLite file; each call by another connection.
    """

    def opened(blueprint, name="a study: 1"):
        return Study.open(open_storage(f"sqlite:///{tmp_path / 'studies.db'}"), name, blueprint)

    return opened


@pytest.fixture(name="attempt")
def _attempt(tmp_path):
    """
    Makes an attempt at trial 0 of a study; returns it and the lines it printed.
    """

    def attempt(study, *, key="try 1", number=0, **options):
        lines = []
        run = TrialRun(
            study, number, key=key, artifacts=tmp_path / "files", log=lines.append, **options
        )
        return run, lines

    return attempt


@pytest.fixture(name="told")
def _told(opened, attempt):
    """
    Runs a blueprint's first trial; returns it as told, and what it printed.
    """

    def told(blueprint):
        study = opened(blueprint)
        study.ask(1, key="ask")
        run, lines = attempt(study)
        return run.run(), lines

    return told


def wait_for(condition):
    """
    Wait until *condition* gives something, and return that.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
    return found


class TestTrialRun:
    """
    One attempt at one trial.
    """

    def test_complete(self, told):
        """
        A command that prints the metric completes the trial with its value.
        """
        trial, lines = told(make(f'echo hello; {PRINT_Y}; echo \'{{{{"y": 0.5, "n": 3}}}}\''))

        assert (trial.state, trial.values, trial.attempt) == (TrialState.COMPLETE, (0.5,), 1)
        assert trial.metrics == {"y": 0.5, "n": 3}
        assert lines == ["hello", '{"y": 1.5}', '{"y": 0.5, "n": 3}']

    def test_measurements_are_kept_in_order(self, opened, attempt):
        """
        Every line with metrics is a measurement, told to the caller once it is kept.
        """
        study = opened(make("for i in 1 2 3; do echo '{{\"y\":'$i'}}'; done"))
        study.ask(1, key="ask")
        seen = []
        attempt(study, on_measurement=lambda found: seen.append(found.metrics["y"]))[0].run()

        (trial,) = study.record(measurements=True).trials
        assert [found.metrics["y"] for found in trial.measurements] == seen == [1, 2, 3]

    def test_metric_missing_is_infeasible(self, told):
        """
        A command that ends well without its metric tells which ones it saw.
        """
        trial, _ = told(make("echo '{{\"yy\": 1}}'"))

        assert trial.state is TrialState.INFEASIBLE
        assert "y was not among the metrics seen: yy" in trial.reason

    def test_failing_command(self, told):
        """
        A non-zero exit code fails the trial, with code and last words as the reason.
        """
        trial, _ = told(make(f"{PRINT_Y}; echo no such file >&2; exit 3"))

        assert (trial.state, trial.failure, trial.exit_code) == (
            TrialState.FAILED,
            Failure.CODE,
            3,
        )
        assert "3" in trial.reason
        assert "no such file" in trial.reason
        assert trial.metrics == {"y": 1.5}
        assert trial.values is None

    def test_timeout(self, told):
        """
        A trial that takes too long is ended and says so; what it measured stays.
        """
        trial, _ = told(make(f"{PRINT_Y}; sleep 60", trial={"timeout_s": 0.5, "grace_s": 0.1}))

        assert (trial.state, trial.failure) == (TrialState.FAILED, Failure.TIMEOUT)
        assert trial.metrics == {"y": 1.5}

    def test_missing_folder_is_invalid(self, opened, attempt):
        """
        A trial that can never start raises, and has told that running again won't help.
        """
        study = opened(make(source={"file": "/nowhere/at all/blueprint.yaml"}))
        study.ask(1, key="ask")

        with pytest.raises(TrialInvalidError, match="/nowhere/at all"):
            attempt(study)[0].run()

        (trial,) = study.record().trials
        assert (trial.state, trial.failure) == (TrialState.FAILED, Failure.CODE)
        assert "/nowhere/at all" in trial.reason

    def test_command_that_lacks_a_value_is_invalid(self, opened, attempt):
        """
        A command with a parameter that this trial does not have can never start.
        """
        study = opened(make("echo {y}"))
        study.ask(1, key="ask")

        with pytest.raises(TrialInvalidError, match="y"):
            attempt(study)[0].run()

        assert study.record().trials[0].failure is Failure.CODE

    def test_told_attempt_returns_at_once(self, opened, attempt, tmp_path):
        """
        An attempt that has told its outcome is not run again by the same key.
        """
        mark = tmp_path / "mark"
        study = opened(make(f"echo run >> '{mark}'; {PRINT_Y}"))
        study.ask(1, key="ask")
        first = attempt(study)[0].run()

        assert attempt(study)[0].run() == first
        assert mark.read_text() == "run\n"

    def test_another_key_is_another_attempt(self, opened, attempt, tmp_path):
        """
        A new key runs the trial again; the new outcome supersedes the old one.
        """
        mark = tmp_path / "mark"
        study = opened(make(f"echo run >> '{mark}'; test $HPO_ATTEMPT = 2 && {PRINT_Y}"))
        study.ask(1, key="ask")
        first = attempt(study)[0].run()
        second = attempt(study, key="try 2")[0].run()

        assert (first.state, second.state) == (TrialState.FAILED, TrialState.COMPLETE)
        assert mark.read_text() == "run\nrun\n"
        assert [trial.values for trial in study.record().trials] == [(1.5,)]

    def test_inline_runner(self, opened, attempt, tmp_path):
        """
        A function in this process is a trial like any other.
        """
        code = "def train(x):\n    print('hello')\n    return {'y': 2}\n"
        (tmp_path / "inline_training.py").write_text(code)
        runner = {"name": "inline", "options": {"callable": "inline_training:train"}}
        blueprint = make("", trial={"runner": runner, "workdir": str(tmp_path)})
        study = opened(blueprint)
        study.ask(1, key="ask")
        run, lines = attempt(study)

        assert run.run().values == (2.0,)
        assert lines[0] == "hello"

    def test_metrics_are_visible_while_it_runs(self, opened, attempt, tmp_path):
        """
        Another reader sees what a trial measured before the trial ends.
        """
        go = tmp_path / "go"
        blueprint = make(f"{PRINT_Y}; while [ ! -e '{go}' ]; do sleep 0.02; done")
        study = opened(blueprint)
        study.ask(1, key="ask")
        thread = threading.Thread(target=attempt(study)[0].run)
        thread.start()
        reader = opened(blueprint)

        (seen,) = wait_for(lambda: reader.storage.measurements(reader.name, 0))
        states = [trial.state for trial in reader.record().trials]
        go.touch()
        thread.join(PATIENCE_S)

        assert seen.metrics == {"y": 1.5}
        assert states == [TrialState.RUNNING]
        assert reader.best().values == (1.5,)

    def test_a_torrent_of_output_is_kept(self, told):
        """
        Code that prints thousands of lines loses none of them.
        """
        count = 5000
        trial, lines = told(
            make("i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo $i; done; " + PRINT_Y)
        )

        assert lines == [*map(str, range(1, count + 1)), '{"y": 1.5}']
        assert trial.is_complete


class TestCancel:
    """
    Ending an attempt before its time.
    """

    def test_from_another_thread(self, opened, attempt):
        """
        A cancelled trial's processes are gone when the call returns, and it is told.
        """
        study = opened(make(f"echo pid $$; {PRINT_Y}; sleep 60 & wait", trial={"grace_s": 5}))
        study.ask(1, key="ask")
        run, lines = attempt(study)
        thread = threading.Thread(target=run.run)
        thread.start()
        wait_for(lambda: len(lines) == 2)

        run.cancel("somebody said so")
        alive = is_running(int(lines[0].split()[1]))
        thread.join(PATIENCE_S)

        (trial,) = study.record().trials
        assert not alive
        assert (trial.state, trial.failure) == (TrialState.FAILED, Failure.INFRASTRUCTURE)
        assert trial.reason == "somebody said so"
        assert trial.metrics == {"y": 1.5}

    def test_as_pruned(self, opened, attempt):
        """
        A trial that is ended on purpose is told as pruned, and counts.
        """
        study = opened(make("echo started; sleep 60"))
        study.ask(1, key="ask")
        run, lines = attempt(study)
        thread = threading.Thread(target=run.run)
        thread.start()
        wait_for(lambda: lines)
        run.cancel("worse than the others", state=TrialState.PRUNED)
        thread.join(PATIENCE_S)

        (trial,) = study.record().trials
        assert (trial.state, trial.failure) == (TrialState.PRUNED, None)
        assert trial.reason == "worse than the others"
        assert trial.is_counted

    def test_before_it_runs(self, opened, attempt, tmp_path):
        """
        What was cancelled before it began starts nothing, and tells it.
        """
        mark = tmp_path / "mark"
        study = opened(make(f"touch '{mark}'"))
        study.ask(1, key="ask")
        run, _ = attempt(study)
        run.cancel("too late")

        trial = run.run()
        assert (trial.state, trial.reason) == (TrialState.FAILED, "too late")
        assert not mark.exists()

    def test_after_it_ended(self, opened, attempt):
        """
        Cancelling what has ended changes nothing.
        """
        study = opened(make())
        study.ask(1, key="ask")
        run, _ = attempt(study)
        trial = run.run()
        run.cancel()

        assert study.record().trials == (trial,)

    @pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), SystemExit(3)])
    def test_exception_ends_the_job(self, opened, attempt, error):
        """
        Whatever the caller raises: the job is ended, the trial told, the error raised.
        """
        study = opened(make(f"echo pid $$; {PRINT_Y}; sleep 60 & wait"))
        study.ask(1, key="ask")

        def refuse(_):
            raise error

        run, lines = attempt(study, on_measurement=refuse)
        with pytest.raises(type(error)):
            run.run()

        (trial,) = study.record().trials
        assert not is_running(int(lines[0].split()[1]))
        assert (trial.state, trial.failure) == (TrialState.FAILED, Failure.INFRASTRUCTURE)
        assert trial.reason.startswith("interrupted: ")

    def test_killed_driver_is_taken_over(self, opened, attempt):
        """
        A job whose driver died is found again by the same key, from its first line on.
        """
        blueprint = make(f"echo one; {PRINT_Y}; sleep 0.5; echo two")
        study = opened(blueprint)
        study.ask(1, key="ask")
        fork = os.fork()
        if fork == 0:
            first, printed = attempt(opened(blueprint))
            threading.Thread(target=first.run, daemon=True).start()
            wait_for(lambda: printed)
            os._exit(0)  # as if killed
        os.waitpid(fork, 0)
        assert [trial.state for trial in study.record().trials] == [TrialState.RUNNING]
        run, lines = attempt(study)

        trial = run.run()
        assert (trial.state, trial.attempt, trial.values) == (TrialState.COMPLETE, 1, (1.5,))
        assert lines == ["one", '{"y": 1.5}', "two"]
        assert len(study.storage.measurements(study.name, 0)) == 1

    def test_new_attempt_ends_the_old_job(self, opened, attempt, tmp_path):
        """
        A job that its driver left running is ended by the next attempt.
        """
        blueprint = make(f"echo $$; test $HPO_ATTEMPT = 2 && {PRINT_Y} || sleep 60")
        study = opened(blueprint)
        study.ask(1, key="ask")
        fork = os.fork()
        if fork == 0:
            first, printed = attempt(opened(blueprint))
            threading.Thread(target=first.run, daemon=True).start()
            wait_for(lambda: printed)
            (tmp_path / "pid").write_text(printed[0])
            os._exit(0)
        os.waitpid(fork, 0)
        pid = int((tmp_path / "pid").read_text())
        assert is_running(pid)

        assert attempt(study, key="try 2")[0].run().is_complete
        assert not is_running(pid)


class TestJob:
    """
    What a trial's command gets.
    """

    KINDS = (
        {"name": "lr", "distribution": {"kind": "constant", "value": 0.5}},
        {"name": "n", "distribution": {"kind": "constant", "value": 3}},
        {"name": "flag", "distribution": {"kind": "constant", "value": True}},
        {"name": "layers", "distribution": {"kind": "constant", "value": [64, 32]}},
        {"name": "text", "distribution": {"kind": "constant", "value": 'it\'s $HOME; "x" ä'}},
        {"name": "none", "distribution": {"kind": "constant", "value": None}},
        {"name": "k", "distribution": {"kind": "choice", "choices": ["a", "b"]}},
    )

    def test_command_has_the_values(self, told):
        """
        Values reach the command as they are, whatever they hold.
        """
        trial, lines = told(
            make("printf '%s\\n' {lr} {n} {flag} {layers} {text}", parameters=self.KINDS)
        )

        assert trial.state is TrialState.INFEASIBLE
        assert lines == ["0.5", "3", "true", "[64, 32]", 'it\'s $HOME; "x" ä']

    def test_parameter_file_has_the_types(self, told):
        """
        The parameter file is the configuration, constants included, types kept.
        """
        trial, lines = told(make('cat "$HPO_PARAMS_FILE"', parameters=self.KINDS))

        read = json.loads("\n".join(lines))
        assert read == dict(trial.configuration)
        assert {name: type(value) for name, value in read.items()} == {
            "lr": float,
            "n": int,
            "flag": bool,
            "layers": list,
            "text": str,
            "none": type(None),
            "k": str,
        }

    def test_environment_contract(self, told):
        """
        The command finds its study, trial, attempt and folders in its environment.
        """
        command = 'echo "$HPO_STUDY|$HPO_TRIAL|$HPO_ATTEMPT|$MINE"; '
        command += 'test -d "$HPO_CHECKPOINT_DIR" && test -d "$HPO_OUTPUT_DIR" && echo folders; '
        command += 'test -z "${{HPO_RESOURCE+x}}" && echo no resource'
        _, lines = told(make(command, trial={"environment": {"MINE": "my own"}}))

        assert lines == ["a study: 1|0|1|my own", "folders", "no resource"]

    @pytest.mark.parametrize(
        ("maximum", "text"),
        [(27, "27"), (0.5, "0.5"), (1_234_567, "1234567"), (1e6 + 0.5, "1000000.5")],
    )
    def test_resource_is_given_in_full(self, told, maximum, text):
        """
        Where a resource is declared the trial is told all of it, to the last digit.
        """
        resource = {"name": "epochs", "min": 0.1, "max": maximum}
        _, lines = told(make('echo "$HPO_RESOURCE" {epochs}', resource=resource))

        assert lines == [f"{text} {text}"]

    def test_command_starts_beside_the_blueprint(self, told, tmp_path):
        """
        A command starts in its blueprint's folder.
        """
        folder = tmp_path / "code"
        folder.mkdir()
        _, lines = told(make("pwd -P", source={"file": str(folder / "blueprint.yaml")}))

        assert lines == [str(folder.resolve())]

    @pytest.mark.parametrize("workdir", ["deep", None])
    def test_folder_of_the_job(self, tmp_path, opened, workdir):
        """
        The job's folder is absolute; without a file it is the workspace or as said.
        """
        (tmp_path / "deep").mkdir()
        source = {"file": str(tmp_path / "blueprint.yaml")}
        blueprint = make(source=source, trial={"workdir": workdir})
        study = opened(blueprint)
        (trial,) = study.ask(1, key="ask")
        workspace = tmp_path / "work"
        workspace.mkdir()
        step = blueprint.trial.steps[0]

        job = build_job(blueprint, trial, step, study="s", workspace=workspace)
        unfiled = build_job(
            make(trial={"workdir": workdir}),
            trial,
            step,
            study="s",
            workspace=workspace,
        )

        assert job.workdir == str(tmp_path / (workdir or "."))
        assert unfiled.workdir == workdir

    def test_label(self):
        """
        A trial's label is one short line without the constants.
        """
        blueprint = make(
            parameters=[
                {"name": "lr", "distribution": {"kind": "float", "low": 0, "high": 1}},
                {"name": "act", "distribution": {"kind": "choice", "choices": ["a", "b"]}},
                {"name": "epochs", "distribution": {"kind": "constant", "value": 3}},
            ]
        )

        label = trial_label(7, {"lr": 0.00123456, "act": "a" * 15 + "\nbc", "epochs": 3}, blueprint)
        assert label == "#7 lr=0.001235 act=aaaaaaaaaaaaaaa…"


class TestFolders:
    """
    Where files lie.
    """

    @pytest.mark.parametrize(
        "name", ["digits", "digits-2026.01_x", "a b", "a/b", "..", ".", "x" * 300, "ä", "a:b+c"]
    )
    def test_safe_names_are_single_folders(self, tmp_path, name):
        """
        Any study's name becomes one folder's name below the artifacts.
        """
        folder = study_folder(tmp_path, name)
        folder.mkdir()

        assert folder.parent == tmp_path
        assert folder.resolve().parent == tmp_path.resolve()

    def test_different_names_stay_different(self):
        """
        Names that differ in what a folder can't hold get folders of their own.
        """
        names = ["a b", "a_b", "a/b", "a:b", "ä", "ö", "..", ".", "", "x" * 200, "x" * 201]

        assert len({safe_name(name) for name in names}) == len(names)
        assert safe_name("digits-1.0_b") == "digits-1.0_b"

    def test_default_follows_the_environment(self, monkeypatch, tmp_path):
        """
        The folder is what HPO_ARTIFACTS says, or lies under Airflow's home.
        """
        monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
        monkeypatch.delenv("HPO_ARTIFACTS", raising=False)
        assert default_artifacts() == tmp_path / "hpo" / "studies"

        monkeypatch.setenv("HPO_ARTIFACTS", str(tmp_path / "mine"))
        assert default_artifacts() == tmp_path / "mine"

    def test_study_made_anew_gets_new_folders(self, tmp_path, attempt):
        """
        A trial never finds the files or the result of another study's namesake.
        """
        results = []
        for number, value in enumerate([1, 2]):
            url = f"sqlite:///{tmp_path / f'{number}.db'}"
            study = Study.open(
                open_storage(url), "s", make(f"ls; echo '{{{{\"y\": {value}}}}}' | tee new")
            )
            (trial,) = study.ask(1, key="ask")
            run, lines = attempt(study)
            results.append((run.run().values, "new" in lines))
            folder = trial_folder(tmp_path / "files", "s", trial)
            assert json.loads((folder / "new").read_text()) == {"y": value}

        assert results == [((1.0,), False), ((2.0,), False)]


class TestRounds:
    """
    The first and the last move.
    """

    def test_suggest_is_idempotent(self, opened):
        """
        The same key gives the same round again.
        """
        study = opened(make())

        assert suggest_round(study, 3, key="a") == suggest_round(study, 3, key="a")
        assert len(suggest_round(study, 3, key="b")) == 1
        assert suggest_round(study, 3, key="c") == ()

    def test_suggest_goes_on_after_a_raised_budget(self, opened):
        """
        A study that had spent its budget gets new trials once there is more.
        """
        study = opened(make(budget={"trials": 1}))
        suggest_round(study, 1, key="a")
        study.start(0, key="try")
        study.tell(0, Outcome(TrialState.COMPLETE, values=(1.0,)), attempt=1)
        assert evaluate_round(study, [0], lost=lambda _: None).stop.rule == "trials"

        assert len(suggest_round(opened(make(budget={"trials": 3})), 5, key="b")) == 2

    def test_suggest_makes_nothing_once_time_is_up(self, opened, attempt):
        """
        A limit that passed between two rounds is noticed before the next.
        """
        study = opened(make(budget={"trials": 4, "wall_clock_s": 0.01}))
        suggest_round(study, 1, key="a")
        attempt(study)[0].run()
        time.sleep(0.01)

        assert suggest_round(study, 1, key="b") == ()
        assert study.record().stop.rule == "wall_clock"

    def test_evaluate_reconciles_lost_trials(self, opened):
        """
        Unfinished trials whose task is gone fail as the machine's fault; others stay.
        """
        study = opened(make())
        suggest_round(study, 4, key="a")
        study.start(0, key="try")
        study.tell(0, Outcome(TrialState.COMPLETE, values=(1.0,)), attempt=1)
        study.start(1, key="try")
        reasons = {1: "its worker died", 2: "its task never started"}

        result = evaluate_round(study, [0, 1, 2], lost=lambda trial: reasons.get(trial.number))

        assert result.states == {"complete": 1, "failed": 2}
        assert result.best.number == 0
        assert result.stop is None
        trials = study.record().trials
        assert [trial.reason for trial in trials[1:3]] == list(reasons.values())
        assert {trial.failure for trial in trials[1:3]} == {Failure.INFRASTRUCTURE}
        assert trials[3].state is TrialState.WAITING

    def test_evaluate_leaves_living_trials_alone(self, opened):
        """
        A trial that may still tell is left running.
        """
        study = opened(make())
        suggest_round(study, 1, key="a")
        study.start(0, key="try")

        assert evaluate_round(study, [0], lost=lambda _: None).states == {"running": 1}

    def test_evaluate_prefers_what_the_trial_told(self, opened):
        """
        A trial that tells while it is being given up keeps its own outcome.
        """
        study = opened(make())
        suggest_round(study, 1, key="a")
        study.start(0, key="try")

        def late(trial):
            study.tell(trial.number, Outcome(TrialState.COMPLETE, values=(1.0,)), attempt=1)
            return "its worker died"

        assert evaluate_round(study, [0], lost=late).states == {"complete": 1}

    def test_evaluate_tells_why_it_ends(self, opened):
        """
        The round's result carries the study's stop and its reason.
        """
        rule = {"kind": "metric", "metric": "y", "at_most": 2}
        study = opened(make(stop=[rule]))
        suggest_round(study, 1, key="a")
        study.start(0, key="try")
        study.tell(0, Outcome(TrialState.COMPLETE, values=(1.0,)), attempt=1)

        assert evaluate_round(study, [0], lost=lambda _: None).stop.rule == "metric"

    def test_trial_errors_are_of_one_family(self):
        """
        Callers can catch whatever one trial's misfortune raises.
        """
        assert issubclass(TrialInvalidError, TrialError)
