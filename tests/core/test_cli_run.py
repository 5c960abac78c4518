"""
``hpo run``: a whole study in one process, and its end before its time.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.testing.processes import is_running


def wait_for(condition, *, patience_s=60):
    """
    Wait until *condition* gives something, and return that.
    """
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return found


class TestRun:
    """
    ``hpo run``.
    """

    def test_whole_study(self, hpo, tmp_path):
        """
        The study is run to its end; its report and its best trial are shown.
        """
        result = hpo("run", "digits.yaml")

        lines = result.stdout.splitlines()
        assert lines[0] == "study digits: maximize y in 4 trials by random"
        assert "ended: all 4 trials of the budget have ended" in lines
        assert "4 trials: 4 complete" in lines
        report = Path(lines[-1].removeprefix("report: "))
        assert report == tmp_path / "home" / "hpo" / "studies" / "digits" / "report.html"
        assert report.is_file()
        assert [trial.state for trial in hpo.trials("digits")] == [TrialState.COMPLETE] * 4

    def test_json_is_all_that_is_printed(self, hpo):
        """
        As JSON standard output holds the summary alone; progress goes elsewhere.
        """
        result = hpo("run", "digits.yaml", "--format", "json")

        summary = json.loads(result.stdout)
        assert summary["states"] == {"complete": 4}
        assert summary["stop"]["rule"] == "trials"
        assert summary["best"]["parameters"].keys() == {"lr", "act"}
        assert Path(summary["report"]).is_file()
        assert "#0 complete" in result.stderr

    def test_quiet(self, hpo):
        """
        Quiet shows nothing but how it ended.
        """
        result = hpo("run", "digits.yaml", "--quiet")

        assert result.stdout.startswith("ended: ")
        assert result.stderr == ""

    def test_verbose(self, hpo):
        """
        Verbose shows what the trials print, with their numbers.
        """
        assert "[#3] act " in hpo("run", "digits.yaml", "--verbose").stdout

    def test_choices_of_a_person(self, hpo):
        """
        Budget, seed, name, journal and folder may be chosen.
        """
        result = hpo(
            *("run", "digits.yaml", "--study", "mine: 1", "--trials", "2", "--seed", "5"),
            *("--storage", "sqlite:///mine.db", "--artifacts", "files", "--format", "json"),
        )

        assert json.loads(result.stdout)["study"] == "mine: 1"
        record = open_storage("sqlite:///mine.db").load("mine: 1")
        assert (record.seed, len(record.trials)) == (5, 2)
        assert list(Path("files").glob("*/trials/00001/params.json"))

    def test_concurrency_widens_the_rounds(self, hpo):
        """
        More at a time than a round holds makes rounds that large.
        """
        command = "while [ $(ls ../ | wc -l) -lt 4 ]; do sleep 0.02; done; "
        text = hpo.DIGITS.replace('"echo act', f'"cd $HPO_OUTPUT_DIR; {command}echo act')
        Path("wide.yaml").write_text(text)

        summary = hpo.json("run", "wide.yaml", "--concurrency", "4")
        assert summary["states"] == {"complete": 4}

    def test_same_name_continues(self, hpo):
        """
        Run again, a study goes on where it was: here with a greater budget.
        """
        hpo("run", "digits.yaml", "--quiet", "--trials", "1")
        first = hpo.trials("digits")
        result = hpo("run", "digits.yaml", "--trials", "3", "--seed", "99")

        assert "(1 are there)" in result.stdout
        assert "note: the study keeps its seed 7, got 99" in result.stdout
        trials = hpo.trials("digits")
        assert trials[:1] == first
        assert len(trials) == 3

    @pytest.mark.parametrize("study", ["", "study: 'digits-{{ ds }}'\n"])
    def test_template_stands_for_a_new_name(self, hpo, study):
        """
        Without a fixed name each run is a study of its own.
        """
        Path("new.yaml").write_text(hpo.DIGITS.replace("study: digits\n", study))
        names = {hpo.json("run", "new.yaml", "--trials", "1")["study"] for _ in range(2)}

        assert len(names) == 2
        assert all(re.fullmatch(r"digits-\d{8}-\d{6}(-2)?", name) for name in names)

    def test_other_space_goes_on(self, hpo):
        """
        A study whose space was changed goes on, and says how many of its trials fit.
        """
        hpo("run", "digits.yaml", "--quiet")
        Path("digits.yaml").write_text(hpo.DIGITS.replace("[relu, tanh]", "[relu, gelu]"))

        assert "note: changed space: 1 of 4 trials fit it" in hpo("run", "digits.yaml").stdout

    def test_other_objective_is_refused(self, hpo):
        """
        A study that was made for another objective is not continued.
        """
        hpo("run", "digits.yaml", "--quiet")
        Path("digits.yaml").write_text(hpo.DIGITS.replace("maximize", "minimize"))

        assert "exists with other objectives" in hpo("run", "digits.yaml", code=1).stderr

    @pytest.mark.parametrize("name", ["", "x" * 5000])
    def test_impossible_name_is_usage(self, hpo, name):
        """
        A name that no journal can keep is refused.
        """
        assert "cannot be called" in hpo("run", "digits.yaml", "--study", name, code=2).stderr

    @pytest.mark.parametrize(
        ("on_failure", "command", "code", "states"),
        [
            ("continue", "test $HPO_TRIAL != 1", 0, {"complete": 3, "failed": 1}),
            ("continue_then_fail", "test $HPO_TRIAL != 1", 1, {"complete": 3, "failed": 1}),
            ("stop", "test $HPO_TRIAL != 1", 1, {"complete": 1, "failed": 1}),
            ("continue", "false", 1, {"failed": 4}),
        ],
    )
    def test_exit_code_tells_what_failures_mean(self, hpo, on_failure, command, code, states):
        """
        A failed trial fails the command where the blueprint says so, or if all did.
        """
        text = hpo.DIGITS.replace('"echo act {act};', f'"{command} && : {{act}} &&')
        text = text.replace("batch_size: 2", "batch_size: 1")
        Path("failing.yaml").write_text(f"{text}  on_failure: {on_failure}\n")

        assert hpo.json("run", "failing.yaml", code=code)["states"] == states

    def test_failing_trial_is_shown(self, hpo):
        """
        A failing trial is shown with its reason and where its log lies.
        """
        Path("digits.yaml").write_text(
            hpo.DIGITS.replace("echo act {act};", "echo {act} >&2; exit 7;")
        )

        text = hpo("run", "digits.yaml", "--trials", "1", code=1).stdout
        assert "#0 failed" in text
        assert "exit code 7" in text
        log = re.search(r"log: (.*)", text).group(1)
        assert Path(log).read_text().strip() in {"relu", "tanh"}

    def test_memory_journal(self, hpo):
        """
        A journal in memory works, and is said to end with the process.
        """
        result = hpo("run", "digits.yaml", "--storage", "memory://test-cli")

        assert "note: this journal ends with this process" in result.stdout

    def test_user_stopped_study_is_left(self, hpo):
        """
        What a person ended stays ended, with the reason.
        """
        hpo("run", "digits.yaml", "--quiet", "--trials", "1")
        storage = open_storage()
        storage.stop("digits", None)
        storage.stop("digits", Stop("user", "enough for today"))

        assert "ended: enough for today" in hpo("run", "digits.yaml").stdout
        assert len(hpo.trials("digits")) == 1


class TestSignals:
    """
    Ending a run before its time, by real signals to a real process.
    """

    @pytest.fixture(autouse=True)
    def _slow(self, hpo):
        """
        A blueprint whose trials tell their process, measure, and then sleep.
        """
        sleep = "echo {act} $$ > pid.$HPO_TRIAL; echo '{{\\\"y\\\": 0}}'; sleep $SLEEP & wait;"
        Path("slow.yaml").write_text(hpo.DIGITS.replace("echo act {act};", sleep))

    def running(self, hpo):
        """
        Return the processes of the first round, once both run and have measured.
        """

        def both():
            if not Path("pid.0").exists() or not Path("pid.1").exists():
                return None
            measured = [trial.measurements for trial in hpo.trials("digits")]
            pids = [Path(f"pid.{n}").read_text().split() for n in (0, 1)]
            return [int(pid[1]) for pid in pids] if all(measured) and all(pids) else None

        return wait_for(both)

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
    def test_signal_ends_jobs_and_keeps_what_was_told(self, hpo, name):
        """
        A signal ends the jobs, keeps what they told, says how to go on, exits 130.
        """
        run = hpo.start("run", "slow.yaml", SLEEP="300")
        pids = self.running(hpo)
        assert all(map(is_running, pids))
        run.send_signal(getattr(signal, name))
        stdout, stderr = run.communicate(timeout=hpo.PATIENCE_S)

        assert run.returncode == 130, stderr
        assert not any(map(is_running, pids))
        assert "to continue: hpo run slow.yaml --study digits" in stderr
        assert "2 trials: 2 failed" in stdout
        trials = hpo.trials("digits")
        assert [trial.reason for trial in trials] == [f"interrupted by {name}"] * 2
        assert [[found.metrics for found in each.measurements] for each in trials] == [
            [{"y": 0}]
        ] * 2

    def test_continued_after_a_signal(self, hpo):
        """
        Run again, the study runs its interrupted trials again, and then the others.
        """
        run = hpo.start("run", "slow.yaml", SLEEP="300")
        self.running(hpo)
        before = hpo.trials("digits")
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=hpo.PATIENCE_S)

        hpo.process("run", "slow.yaml", SLEEP="0")
        trials = hpo.trials("digits")
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
        assert [trial.attempt for trial in trials] == [2, 2, 1, 1]
        assert [trial.configuration for trial in trials[:2]] == [
            trial.configuration for trial in before
        ]

    def test_nothing_told_is_lost_when_killed(self, hpo):
        """
        Killed outright and run again, a study loses nothing and runs nothing twice.
        """
        run = hpo.start("run", "slow.yaml", SLEEP="3")
        self.running(hpo)
        told = hpo.trials("digits")
        run.kill()
        run.communicate(timeout=hpo.PATIENCE_S)
        assert [trial.state for trial in hpo.trials("digits")] == [TrialState.RUNNING] * 2

        done = hpo.process("run", "slow.yaml", SLEEP="0")
        assert "#0 was left running: following it" in done.stdout
        trials = hpo.trials("digits")
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
        assert [trial.attempt for trial in trials] == [1] * 4
        for before, after in zip(told, trials, strict=False):
            assert after.configuration == before.configuration
            assert after.measurements[: len(before.measurements)] == before.measurements
            assert [found.metrics["y"] for found in after.measurements] == [
                0,
                after.configuration["lr"],
            ]

    def test_killed_over_and_over(self, hpo):
        """
        Killed at any moment, again and again, a study ends with its budget.
        """
        for delay in (0.4, 0.7, 1.0, 1.3):
            run = hpo.start("run", "slow.yaml", SLEEP="0.3")
            time.sleep(delay)
            run.kill()
            run.communicate(timeout=hpo.PATIENCE_S)

        hpo.process("run", "slow.yaml", SLEEP="0")
        trials = hpo.trials("digits")
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4

    def test_two_at_once_share_a_study(self, hpo):
        """
        Two runs of one study at the same time keep to one budget.
        """
        runs = [hpo.start("run", "slow.yaml", SLEEP="0.3") for _ in range(2)]
        for run in runs:
            run.communicate(timeout=hpo.PATIENCE_S)

        trials = hpo.trials("digits")
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
        assert [trial.attempt for trial in trials] == [1] * 4

    def test_insisting_ends_at_once(self, hpo):
        """
        A job that will not go does not keep a person who insists waiting.
        """
        text = (
            Path("slow.yaml")
            .read_text()
            .replace("sleep $SLEEP & wait;", "trap '' TERM; sleep 300 & wait; wait;")
        )
        Path("slow.yaml").write_text(text.replace("grace: 5s", "grace: 30s"))
        run = hpo.start("run", "slow.yaml")
        pids = self.running(hpo)
        began = time.monotonic()
        for _ in range(3):
            run.send_signal(signal.SIGINT)
            time.sleep(0.3)
        run.communicate(timeout=hpo.PATIENCE_S)
        took = time.monotonic() - began

        assert run.returncode == 130
        assert took < 25
        assert [trial.state for trial in hpo.trials("digits")] == [TrialState.FAILED] * 2
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def test_progress_on_a_terminal(self, hpo):
        """
        On a terminal there is a bar, which leaves the terminal as it was.
        """
        import pty

        Path("digits.yaml").write_text(hpo.DIGITS)
        primary, secondary = pty.openpty()
        run = subprocess.Popen(
            hpo.command("run", "digits.yaml"),
            env=hpo.environment(TERM="xterm", COLUMNS="120"),
            stdout=secondary,
            stderr=secondary,
        )
        os.close(secondary)
        text = b""
        try:
            while data := os.read(primary, 65536):
                text += data
        except OSError:  # the other end is closed
            pass
        os.close(primary)

        assert run.wait(hpo.PATIENCE_S) == 0
        shown = text.decode()
        assert "4/4" in shown
        assert "best y = " in shown
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
        assert "ended: all 4 trials of the budget have ended" in shown
