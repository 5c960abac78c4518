"""
The command line: contracts of output and exit codes, messages, and signals.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from airflow_hpo import __version__
from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.cli import app
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Measurement, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

# How long anything here may take before it is called stuck, in seconds.
PATIENCE_S = 20

DIGITS = """\
hpo: 1
name: digits
study: digits
objective: {metric: y, direction: maximize}
space:
  lr: {float: [0.001, 1.0], log: true}
  act: {choice: [relu, tanh]}
budget: {trials: 4}
strategy: {name: random, seed: 7}
execution: {batch_size: 2}
trial:
  command: "echo act {act}; echo '{{\\"y\\": '{lr}'}}'"
  grace: 5s
"""

BAD = """\
hpo: 1
name: bad
objective: {metric: y, direction: maximise}
space:
  lr: {float: [-4, -1], log: true}
budget: {trials: 4}
trial: {command: "true {lr}"}
"""


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """
    Every test has a home, a journal and a folder of its own.
    """
    for name in ("HPO_STORAGE", "HPO_ARTIFACTS", "HPO_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    Path("digits.yaml").write_text(DIGITS)
    Path("bad.yaml").write_text(BAD)


def hpo(*words, code=0, **options):
    """
    Run a command in this process; returns its result, whose exit code is *code*.
    """
    result = CliRunner().invoke(app, list(map(str, words)), **options)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def printed(*words, code=0, **options):
    """
    Return the JSON that a command prints.
    """
    return json.loads(hpo(*words, "--format", "json", code=code, **options).stdout)


def command(*words):
    """
    Return the command line of a process of its own.
    """
    return [sys.executable, "-m", "airflow_hpo.cli", *map(str, words)]


def environment(**more):
    """
    Return the environment in which such a process finds the package.
    """
    provider = Path(__file__).parents[2] / "provider"
    return {**os.environ, "PYTHONPATH": str(provider), **more}


def start(*words, **more):
    """
    Start a command as a process of its own.
    """
    return subprocess.Popen(
        command(*words),
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def process(*words, code=0, data=None, **more):
    """
    Run a command as a process of its own, to its end.
    """
    done = subprocess.run(
        command(*words),
        env=environment(**more),
        input=data,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def wait_for(condition):
    """
    Wait until *condition* gives something, and return that.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return found


def is_running(pid):
    """
    Return whether a process lives.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def trials_of(study):
    """
    Return the trials of *study*, measurements included.
    """
    return open_storage().load(study, measurements=True).trials


class TestProgram:
    """
    What all commands share.
    """

    COMMANDS = ("check", "schema", "plan", "suggest", "run", "status", "top", "export", "report")

    def test_every_command_is_known_here(self):
        """
        The list of commands below is complete.
        """
        assert {command.name for command in app.registered_commands} == set(self.COMMANDS)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_has_help_and_an_example_that_works(self, name):
        """
        Help says what a command does and gives an example; the example works.
        """
        (registered,) = [each for each in app.registered_commands if each.name == name]
        text = hpo(name, "--help").stdout
        assert registered.callback.__doc__.strip().splitlines()[0][:30] in text
        example = registered.epilog.removeprefix("Example: hpo ")
        assert example != registered.epilog
        Path("blueprints").mkdir()

        if name in {"status", "top", "export", "report"}:
            hpo("run", "digits.yaml", "--quiet")
        hpo(*shlex.split(example))

    @pytest.mark.parametrize("option", ["-h", "--help"])
    def test_help_lists_the_commands(self, option):
        """
        The program's help names every command.
        """
        text = hpo(option).stdout

        assert all(name in text for name in self.COMMANDS)

    def test_version(self):
        """
        The version is the package's.
        """
        assert hpo("--version").stdout == f"hpo {__version__}\n"

    @pytest.mark.parametrize(
        "words", [["plot"], ["plan"], ["plan", "digits.yaml", "--format", "xml"], ["top", "-n"]]
    )
    def test_usage_errors_exit_2(self, words):
        """
        What the command line itself does not allow exits with 2.
        """
        assert "Error" in hpo(*words, code=2).stderr

    def test_starting_loads_nothing_heavy(self):
        """
        Help needs neither pydantic, a database nor an engine, let alone Airflow.
        """
        code = "import sys, airflow_hpo.cli; print(*sys.modules)"
        run = [sys.executable, "-c", code]
        done = subprocess.run(run, env=environment(), capture_output=True, text=True, check=True)

        heavy = {"pydantic", "sqlalchemy", "numpy", "optuna", "scipy", "yaml", "airflow"}
        assert not heavy & set(done.stdout.split())

    def test_no_command_needs_airflow(self, tmp_path):
        """
        All of it works where Airflow cannot be imported.
        """
        (tmp_path / "block").mkdir()
        (tmp_path / "block" / "airflow.py").write_text("raise ImportError('no airflow here')")
        path = os.pathsep.join([str(tmp_path / "block"), environment()["PYTHONPATH"]])

        for words in (["check", "digits.yaml"], ["run", "digits.yaml", "-q"], ["status"]):
            done = subprocess.run(
                command(*words),
                env=environment(PYTHONPATH=path),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr

    def test_errors_are_messages(self):
        """
        What the package raises on purpose is a message on standard error, exit code 1.
        """
        result = hpo("plan", "bad.yaml", code=1)

        assert result.stdout == ""
        assert result.stderr.startswith("2 problems in blueprint:\nbad.yaml:3:")
        assert "Traceback" not in result.stderr

    def test_debug_shows_the_traceback(self, monkeypatch):
        """
        HPO_DEBUG=1 shows where the error came from.
        """
        monkeypatch.setenv("HPO_DEBUG", "1")

        assert "Traceback" in hpo("plan", "bad.yaml", code=1).stderr

    @pytest.mark.parametrize("url", ["nonsense://", "sqlite:////dev/null/x.db"])
    def test_unreachable_journal_is_a_message(self, url):
        """
        A journal that cannot be reached is named, without a traceback.
        """
        result = hpo("status", "--storage", url, code=1)

        assert result.stderr
        assert "Traceback" not in result.stderr

    def test_output_is_plain_where_nobody_looks(self):
        """
        Piped output has no escape codes and cuts nothing, however wide.
        """
        wide = "".join(f"  parameter_number_{n}: {{choice: [{'v' * 40}]}}\n" for n in range(9))
        text = DIGITS.replace("  act:", f"{wide}  act:").replace("{act};", "{act}; : {parameters};")
        Path("wide.yaml").write_text(text)

        done = process("suggest", "wide.yaml", COLUMNS="40")
        assert "\x1b" not in done.stdout
        header, _, row = done.stdout.splitlines()
        assert all(f"parameter_number_{n}" in header for n in range(9))
        assert row.count("v" * 40) == 9

    def test_no_color(self):
        """
        NO_COLOR takes the colours away on a terminal too.
        """
        import pty

        outputs = []
        for more in ({"TERM": "xterm-256color"}, {"TERM": "xterm-256color", "NO_COLOR": "1"}):
            primary, secondary = pty.openpty()
            process = subprocess.Popen(
                command("plan", "--help"),
                env=environment(**more),
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
            process.wait(PATIENCE_S)
            os.close(primary)
            outputs.append(re.search(rb"\x1b\[[0-9;]*3[0-7]", text) is not None)

        assert outputs == [True, False]

    def test_reader_that_leaves_is_no_error(self):
        """
        A reader of the output that stops early leaves no traceback.
        """
        line = f"{shlex.join(command('schema'))} | head -c 1"
        done = subprocess.run(
            ["/bin/sh", "-c", line], env=environment(), capture_output=True, check=False
        )

        assert done.stderr == b""


class TestCheck:
    """
    ``hpo check`` and ``hpo schema``.
    """

    def test_fine(self):
        """
        A right blueprint exits with 0 and says so.
        """
        assert hpo("check", "digits.yaml").stdout == "digits.yaml: fine\n"

    def test_problems_with_their_places(self):
        """
        Problems show place, path, rule, value and hint, all at once, and exit with 1.
        """
        text = hpo("check", "bad.yaml", code=1).stdout

        assert text.startswith("2 problems in blueprint:\nbad.yaml:3:")
        assert "objective.direction: " in text
        assert "got 'maximise'" in text
        assert "    hint: did you mean 'maximize'?" in text
        assert "bad.yaml:5:" in text

    def test_json_contract(self):
        """
        As JSON each problem has the seven documented keys.
        """
        problems = printed("check", "bad.yaml", "digits.yaml", code=1)

        assert [list(problem) for problem in problems] == [
            ["file", "line", "column", "severity", "path", "message", "hint"]
        ] * 2
        assert [(each["file"], each["line"]) for each in problems] == [
            ("bad.yaml", 3),
            ("bad.yaml", 5),
        ]
        assert {problem["severity"] for problem in problems} == {"error"}
        assert printed("check", "digits.yaml") == []

    def test_warnings_are_allowed(self):
        """
        A blueprint with nothing but warnings exits with 0.
        """
        Path("warned.yaml").write_text(DIGITS.replace("act {act}", "no act"))

        (problem,) = printed("check", "warned.yaml")
        assert problem["severity"] == "warning"

    @pytest.mark.parametrize("words", [["missing.yaml"], ["digits.yaml", "missing.yaml"]])
    def test_unreadable_file_exits_2(self, words):
        """
        A file that cannot be read is named; the others are checked all the same.
        """
        result = hpo("check", *words, code=2)

        assert "missing.yaml cannot be read: No such file or directory" in result.stderr
        assert ("digits.yaml: fine" in result.stdout) == ("digits.yaml" in words)

    def test_folders_are_searched(self):
        """
        Blueprints in a folder are found, hidden and other files passed over.
        """
        for name in ("a/x.yaml", "a/deep/y.yml", "a/.hidden/z.yaml", "a/.z.yaml", "a/notes.txt"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(DIGITS if name.endswith("ml") else "no blueprint")
        Path("a/x.yaml").write_text(BAD)

        problems = printed("check", "a", "a/x.yaml", code=1)
        assert {problem["file"] for problem in problems} == {"a/x.yaml"}
        assert len(problems) == 2
        assert "a/deep/y.yml: fine" in hpo("check", "a", code=1).stdout

    def test_empty_folder_is_noted(self):
        """
        A folder without blueprints is fine, but nothing stays unsaid.
        """
        Path("empty").mkdir()

        assert "empty holds no blueprints" in hpo("check", "empty").stderr

    @pytest.mark.parametrize(("text", "code"), [(DIGITS, 0), (BAD, 1)])
    def test_standard_input(self, text, code):
        """
        A dash reads standard input.
        """
        assert "<stdin>" in hpo("check", "-", code=code, input=text).stdout

    @pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"", b"\x00", b"[1, 2", b"a: &a [*a]"])
    def test_any_bytes_are_problems_at_most(self, data):
        """
        What is no blueprint at all is reported like any problem.
        """
        Path("odd.yaml").write_bytes(data)

        assert printed("check", "odd.yaml", code=1)[0]["severity"] == "error"

    def test_schema_is_a_json_schema(self):
        """
        The schema is JSON and describes the native dialect.
        """
        schema = json.loads(hpo("schema").stdout)

        assert "json-schema.org" in schema["$schema"]
        assert {"hpo", "objective", "space", "budget", "trial"} <= set(schema["properties"])


class TestPlan:
    """
    ``hpo plan``.
    """

    def test_json_contract(self):
        """
        The plan is printed with the documented keys.
        """
        plan = printed("plan", "digits.yaml")

        assert plan == {
            "study": "digits",
            "dialect": "native",
            "mode": "batch",
            "trials": 4,
            "rounds": [
                {"round": 0, "trials": 2, "sampler": "random"},
                {"round": 1, "trials": 2, "sampler": "random"},
            ],
            "brackets": [],
            "tasks": 9,
            "total_resource": 4.0,
            "full_trials": 4.0,
            "peak_parallelism": 2,
            "notes": [],
        }

    def test_text(self):
        """
        For people it is a table, and a line of totals and notes.
        """
        text = DIGITS.replace("lr: {float: [0.001, 1.0], log: true}", "lr: {choice: [0.1]}")
        Path("small.yaml").write_text(text)

        lines = hpo("plan", "small.yaml").stdout.splitlines()
        assert lines[0] == "digits (native): 2 trials, batch"
        assert lines[1].split() == ["round", "trials", "sampler"]
        assert lines[3].split() == ["0", "2", "random"]
        assert lines[-1] == (
            "note: budget.trials is capped to 2: there are 2 configurations, not 4"
        )

    def test_missing_file_exits_2(self):
        """
        A file that is not there is a matter of usage.
        """
        assert "none.yaml cannot be read" in hpo("plan", "none.yaml", code=2).stderr

    def test_standard_input(self):
        """
        A dash reads standard input here too.
        """
        assert printed("plan", "-", input=DIGITS)["trials"] == 4

    def test_which_blueprint(self):
        """
        A name that the file does not hold is refused with those it holds.
        """
        assert printed("plan", "digits.yaml", "--blueprint", "digits")["study"] == "digits"
        result = hpo("plan", "digits.yaml", "--blueprint", "other", code=2)
        assert result.stderr == "--blueprint must be one of digits, got 'other'\n"


class TestSuggest:
    """
    ``hpo suggest``.
    """

    def test_json_contract(self):
        """
        Suggestions are a list of configurations.
        """
        suggestions = printed("suggest", "digits.yaml", "--count", "3", "--seed", "1")

        assert [list(each) for each in suggestions] == [["lr", "act"]] * 3
        assert all(0.001 <= each["lr"] <= 1 for each in suggestions)

    def test_same_seed_same_suggestions(self):
        """
        Seed and history determine the answer, in any process; another seed another.
        """
        words = ("suggest", "digits.yaml", "--count", "5", "--format", "json")
        first = process(*words, "--seed", "3", PYTHONHASHSEED="1").stdout

        assert process(*words, "--seed", "3", PYTHONHASHSEED="2").stdout == first
        assert hpo(*words, "--seed", "4").stdout != first
        assert hpo(*words).stdout == hpo(*words, "--seed", "7").stdout

    def test_history_is_taken_into_account(self):
        """
        What was tried is not suggested again; lists and mappings of values are read.
        """
        text = DIGITS.replace("lr: {float: [0.001, 1.0], log: true}", "lr: {choice: [1, 2]}")
        Path("grid.yaml").write_text(text.replace("name: random", "name: grid"))
        history = [
            {"configuration": {"lr": 1, "act": "relu"}, "values": {"y": 1}},
            {"parameters": {"lr": 1, "act": "tanh"}, "value": 2},
            {"configuration": {"lr": 2, "act": "relu"}, "values": [1.5], "state": "complete"},
        ]
        Path("h.jsonl").write_text("\n\n".join(map(json.dumps, history)) + "\n")

        result = hpo("suggest", "grid.yaml", "-n", 9, "--history", "h.jsonl", "--format", "json")
        assert json.loads(result.stdout) == [{"lr": 2, "act": "tanh"}]
        assert "no more than 1 further" in result.stderr

    def test_exported_study_is_a_history(self):
        """
        What ``hpo export --to jsonl`` writes, ``--history`` reads.
        """
        hpo("run", "digits.yaml", "--quiet")
        hpo("export", "digits", "--to", "jsonl", "-o", "h.jsonl")
        before = {row["lr"] for row in printed("suggest", "digits.yaml", "-n", 4)}

        after = printed("suggest", "digits.yaml", "-n", 4, "--history", "h.jsonl")
        assert not before & {row["lr"] for row in after}

    def test_bad_lines_are_reported_at_once(self):
        """
        Everything that is wrong with a history is told, with its line.
        """
        lines = [
            '{"configuration": {"lr": 0.1, "act": "relu"}, "value": 1}',
            "no json",
            "[1]",
            '{"configuration": {"lr": 5, "act": "relu"}, "value": 1}',
            '{"configuration": {"lr": 0.1}, "value": 1}',
            '{"configuration": {"lr": 0.1, "act": "relu", "x": 1}, "value": 1}',
            '{"value": 1}',
            '{"configuration": {"lr": 0.1, "act": "relu"}}',
            '{"configuration": {"lr": 0.1, "act": "relu"}, "values": [1, 2]}',
            '{"configuration": {"lr": 0.1, "act": "relu"}, "values": {"z": 1}}',
            '{"configuration": {"lr": 0.1, "act": "relu"}, "value": NaN}',
            '{"configuration": {"lr": 0.1, "act": "relu"}, "value": "1"}',
            '{"configuration": {"lr": 0.1, "act": "relu"}, "value": 1, "state": "compleet"}',
            '{"configuration": {"lr": 0.1, "act": "relu"}, "state": "complete"}',
            '{"configuration": {"lr": 0.1, "act": "relu"}, "state": "failed", "valu": 1}',
            '{"configuration": [], "parameters": {}, "value": 1}',
            '{"configuration": {"lr": 0.1, "act": "relu"}, "value": 1, "metrics": 3}',
            '{"configuration": {"lr": 0.1, "act": "relu"}, "value": 1, "resource": "a"}',
        ]
        Path("h.jsonl").write_text("\n".join(lines))

        text = hpo("suggest", "digits.yaml", "--history", "h.jsonl", code=1).stderr
        places = [int(number) for number in re.findall(r"^h\.jsonl:(\d+): ", text, re.MULTILINE)]
        assert sorted(set(places)) == list(range(2, len(lines) + 1))
        assert places == sorted(places)
        assert text.startswith(f"{len(places)} problems in history:")
        assert "did you mean 'complete'?" in text
        assert "valu is no key of a trial; did you mean 'value" in text

    def test_states_teach_without_values(self):
        """
        Trials that failed, or run, need no value.
        """
        configuration = {"lr": 0.1, "act": "relu"}
        lines = [
            {"configuration": configuration, "state": state.value}
            for state in TrialState
            if state is not TrialState.COMPLETE
        ]
        text = "\n".join(map(json.dumps, lines))

        assert len(printed("suggest", "digits.yaml", "--history", "-", input=text)) == 1

    def test_nothing_is_stored(self, tmp_path):
        """
        Suggesting touches no journal.
        """
        hpo("suggest", "digits.yaml")

        assert not (tmp_path / "home").exists()


class TestRun:
    """
    ``hpo run``.
    """

    def test_whole_study(self, tmp_path):
        """
        The study is run to its end; its report and its best trial are shown.
        """
        result = hpo("run", "digits.yaml")

        lines = result.stdout.splitlines()
        assert lines[0] == "study digits: maximize y in 4 trials by random"
        assert "ended: all 4 trials of the budget have ended" in lines
        assert "4 trials: 4 complete" in lines
        report = Path(lines[-1].removeprefix("report: "))
        assert report == tmp_path / "home" / "hpo" / "studies" / "digits" / "summary.md"
        assert report.is_file()
        assert [trial.state for trial in trials_of("digits")] == [TrialState.COMPLETE] * 4

    def test_json_is_all_that_is_printed(self):
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

    def test_quiet(self):
        """
        Quiet shows nothing but how it ended.
        """
        result = hpo("run", "digits.yaml", "--quiet")

        assert result.stdout.startswith("ended: ")
        assert result.stderr == ""

    def test_verbose(self):
        """
        Verbose shows what the trials print, with their numbers.
        """
        assert "[#3] act " in hpo("run", "digits.yaml", "--verbose").stdout

    def test_choices_of_a_person(self):
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

    def test_concurrency_widens_the_rounds(self):
        """
        More at a time than a round holds makes rounds that large.
        """
        command = "while [ $(ls ../ | wc -l) -lt 4 ]; do sleep 0.02; done; "
        text = DIGITS.replace('"echo act', f'"cd $HPO_OUTPUT_DIR; {command}echo act')
        Path("wide.yaml").write_text(text)

        summary = printed("run", "wide.yaml", "--concurrency", "4")
        assert summary["states"] == {"complete": 4}

    def test_same_name_continues(self):
        """
        Run again, a study goes on where it was: here with a greater budget.
        """
        hpo("run", "digits.yaml", "--quiet", "--trials", "1")
        first = trials_of("digits")
        result = hpo("run", "digits.yaml", "--trials", "3", "--seed", "99")

        assert "(1 are there)" in result.stdout
        assert "note: the study keeps its seed 7, got 99" in result.stdout
        trials = trials_of("digits")
        assert trials[:1] == first
        assert len(trials) == 3

    @pytest.mark.parametrize("study", ["", "study: 'digits-{{ ds }}'\n"])
    def test_template_stands_for_a_new_name(self, study):
        """
        Without a fixed name each run is a study of its own.
        """
        Path("new.yaml").write_text(DIGITS.replace("study: digits\n", study))
        names = {printed("run", "new.yaml", "--trials", "1")["study"] for _ in range(2)}

        assert len(names) == 2
        assert all(re.fullmatch(r"digits-\d{8}-\d{6}(-2)?", name) for name in names)

    def test_other_space_is_refused(self):
        """
        A study that was made for another space is not continued.
        """
        hpo("run", "digits.yaml", "--quiet")
        Path("digits.yaml").write_text(DIGITS.replace("[relu, tanh]", "[relu, gelu]"))

        result = hpo("run", "digits.yaml", code=1)
        assert "study 'digits' exists with other space" in result.stderr

    @pytest.mark.parametrize("name", ["", "x" * 5000])
    def test_impossible_name_is_usage(self, name):
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
    def test_exit_code_tells_what_failures_mean(self, on_failure, command, code, states):
        """
        A failed trial fails the command where the blueprint says so, or if all did.
        """
        text = DIGITS.replace('"echo act {act};', f'"{command} && : {{act}} &&')
        text = text.replace("batch_size: 2", "batch_size: 1")
        Path("failing.yaml").write_text(f"{text}  on_failure: {on_failure}\n")

        assert printed("run", "failing.yaml", code=code)["states"] == states

    def test_failing_trial_is_shown(self):
        """
        A failing trial is shown with its reason and where its log lies.
        """
        Path("digits.yaml").write_text(DIGITS.replace("echo act {act};", "echo {act} >&2; exit 7;"))

        text = hpo("run", "digits.yaml", "--trials", "1", code=1).stdout
        assert "#0 failed" in text
        assert "exit code 7" in text
        log = re.search(r"log: (.*)", text).group(1)
        assert Path(log).read_text().strip() in {"relu", "tanh"}

    def test_memory_journal(self):
        """
        A journal in memory works, and is said to end with the process.
        """
        result = hpo("run", "digits.yaml", "--storage", "memory://test-cli")

        assert "note: this journal ends with this process" in result.stdout

    def test_user_stopped_study_is_left(self):
        """
        What a person ended stays ended, with the reason.
        """
        hpo("run", "digits.yaml", "--quiet", "--trials", "1")
        storage = open_storage()
        storage.stop("digits", None)
        storage.stop("digits", Stop("user", "enough for today"))

        assert "ended: enough for today" in hpo("run", "digits.yaml").stdout
        assert len(trials_of("digits")) == 1


SLOW = DIGITS.replace(
    "echo act {act};",
    "echo {act} $$ > pid.$HPO_TRIAL; echo '{{\\\"y\\\": 0}}'; sleep $SLEEP & wait;",
)


class TestSignals:
    """
    Ending a run before its time, by real signals to a real process.
    """

    @pytest.fixture(autouse=True)
    def _slow(self):
        Path("slow.yaml").write_text(SLOW)

    def running(self):
        """
        Return the processes of the first round, once both run and have measured.
        """

        def both():
            if not Path("pid.0").exists() or not Path("pid.1").exists():
                return None
            measured = [trial.measurements for trial in trials_of("digits")]
            pids = [Path(f"pid.{n}").read_text().split() for n in (0, 1)]
            return [int(pid[1]) for pid in pids] if all(measured) and all(pids) else None

        return wait_for(both)

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
    def test_signal_ends_jobs_and_keeps_what_was_told(self, name):
        """
        A signal ends the jobs, keeps what they told, says how to go on, exits 130.
        """
        run = start("run", "slow.yaml", SLEEP="300")
        pids = self.running()
        assert all(map(is_running, pids))
        run.send_signal(getattr(signal, name))
        stdout, stderr = run.communicate(timeout=PATIENCE_S)

        assert run.returncode == 130, stderr
        assert not any(map(is_running, pids))
        assert "to continue: hpo run slow.yaml --study digits" in stderr
        assert "2 trials: 2 failed" in stdout
        trials = trials_of("digits")
        assert [trial.reason for trial in trials] == [f"interrupted by {name}"] * 2
        assert [[found.metrics for found in each.measurements] for each in trials] == [
            [{"y": 0}]
        ] * 2

    def test_continued_after_a_signal(self):
        """
        Run again, the study runs its interrupted trials again, and then the others.
        """
        run = start("run", "slow.yaml", SLEEP="300")
        self.running()
        before = trials_of("digits")
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=PATIENCE_S)

        process("run", "slow.yaml", SLEEP="0")
        trials = trials_of("digits")
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
        assert [trial.attempt for trial in trials] == [2, 2, 1, 1]
        assert [trial.configuration for trial in trials[:2]] == [
            trial.configuration for trial in before
        ]

    def test_nothing_told_is_lost_when_killed(self):
        """
        Killed outright and run again, a study loses nothing and runs nothing twice.
        """
        run = start("run", "slow.yaml", SLEEP="3")
        self.running()
        told = trials_of("digits")
        run.kill()
        run.communicate(timeout=PATIENCE_S)
        assert [trial.state for trial in trials_of("digits")] == [TrialState.RUNNING] * 2

        done = process("run", "slow.yaml", SLEEP="0")
        assert "#0 was left running: following it" in done.stdout
        trials = trials_of("digits")
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
        assert [trial.attempt for trial in trials] == [1] * 4
        for before, after in zip(told, trials, strict=False):
            assert after.configuration == before.configuration
            assert after.measurements[: len(before.measurements)] == before.measurements
            assert [found.metrics["y"] for found in after.measurements] == [
                0,
                after.configuration["lr"],
            ]

    def test_killed_over_and_over(self):
        """
        Killed at any moment, again and again, a study ends with its budget.
        """
        for delay in (0.4, 0.7, 1.0, 1.3):
            run = start("run", "slow.yaml", SLEEP="0.3")
            time.sleep(delay)
            run.kill()
            run.communicate(timeout=PATIENCE_S)

        process("run", "slow.yaml", SLEEP="0")
        trials = trials_of("digits")
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4

    def test_two_at_once_share_a_study(self):
        """
        Two runs of one study at the same time keep to one budget.
        """
        runs = [start("run", "slow.yaml", SLEEP="0.3") for _ in range(2)]
        for run in runs:
            run.communicate(timeout=PATIENCE_S)

        trials = trials_of("digits")
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
        assert [trial.attempt for trial in trials] == [1] * 4

    def test_insisting_ends_at_once(self):
        """
        A job that will not go does not keep a person who insists waiting.
        """
        text = SLOW.replace("sleep $SLEEP & wait;", "trap '' TERM; sleep 300 & wait; wait;")
        Path("slow.yaml").write_text(text.replace("grace: 5s", "grace: 30s"))
        run = start("run", "slow.yaml")
        pids = self.running()
        began = time.monotonic()
        for _ in range(3):
            run.send_signal(signal.SIGINT)
            time.sleep(0.3)
        run.communicate(timeout=PATIENCE_S)
        took = time.monotonic() - began

        assert run.returncode == 130
        assert took < 25
        assert [trial.state for trial in trials_of("digits")] == [TrialState.FAILED] * 2
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def test_progress_on_a_terminal(self):
        """
        On a terminal there is a bar, which leaves the terminal as it was.
        """
        import pty

        Path("digits.yaml").write_text(DIGITS)
        primary, secondary = pty.openpty()
        run = subprocess.Popen(
            command("run", "digits.yaml"),
            env=environment(TERM="xterm", COLUMNS="120"),
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

        assert run.wait(PATIENCE_S) == 0
        shown = text.decode()
        assert "4/4" in shown
        assert "best y = " in shown
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
        assert "ended: all 4 trials of the budget have ended" in shown


class TestStudies:
    """
    ``hpo status``, ``top``, ``export`` and ``report``.
    """

    @pytest.fixture(autouse=True)
    def _study(self):
        """
        A study whose trials ended without being run.
        """
        (blueprint,) = parse_blueprints(DIGITS)
        study = Study.open(open_storage(), "digits", blueprint)
        for trial in study.ask(4, key="all"):
            lr = trial.configuration["lr"]
            study.start(trial.number, key="try")
            outcome = Outcome(TrialState.COMPLETE, values=(lr,), metrics={"y": lr})
            study.tell(trial.number, outcome, attempt=1)
        study.decide()

    def test_list(self):
        """
        Without a name all studies are listed, newest first.
        """
        (blueprint,) = parse_blueprints(DIGITS)
        Study.open(open_storage(), "second", blueprint)

        studies = printed("status")
        assert [study["study"] for study in studies] == ["second", "digits"]
        assert studies[1] == {
            "study": "digits",
            "created": studies[1]["created"],
            "trials": 4,
            "states": {"complete": 4},
            "stop": {"rule": "trials", "reason": "all 4 trials of the budget have ended"},
        }
        assert "second" in hpo("status").stdout

    def test_empty_list(self):
        """
        No studies are no error.
        """
        assert printed("status", "--storage", "memory://empty") == []
        assert hpo("status", "--storage", "memory://empty").stdout == "there are no studies yet\n"

    def test_one_study(self):
        """
        One study is shown with states, best trial and why it ended.
        """
        details = printed("status", "digits")

        assert details["states"] == {"complete": 4}
        assert details["status"] == "ended"
        assert details["running"] == []
        best = max(trials_of("digits"), key=lambda trial: trial.values)
        assert details["best"]["number"] == best.number
        assert f"best: #{best.number} with y = " in hpo("status", "digits").stdout

    def test_running_trials_show_what_they_measured_last(self):
        """
        A running trial is shown with its last measurement.
        """
        storage = open_storage()
        storage.start("digits", 2, key="again")
        measured = [Measurement({"y": y}, time=1.0, resource=y) for y in (1, 2)]
        storage.measure("digits", 2, measured, attempt=2, first=0)

        (running,) = printed("status", "digits")["running"]
        assert (running["number"], running["attempt"]) == (2, 2)
        assert running["measurement"] == {"metrics": {"y": 2}, "resource": 2.0, "time": 1.0}
        assert "y=2" in hpo("status", "digits").stdout

    def test_top(self):
        """
        The best trials come best first, and no more than asked for.
        """
        top = printed("top", "digits", "-n", "3")

        values = sorted((trial.values[0] for trial in trials_of("digits")), reverse=True)
        assert [line["values"]["y"] for line in top] == values[:3]
        lines = hpo("top", "digits", "-n", "3").stdout.splitlines()
        assert lines[0].split() == ["trial", "y", "lr", "act", "took"]
        assert len(lines) == 5

    def test_top_of_nothing(self):
        """
        Where no trial is complete there is nothing to rank.
        """
        (blueprint,) = parse_blueprints(DIGITS)
        Study.open(open_storage(), "broken", blueprint).ask(2, key="all")

        assert printed("top", "broken") == []
        assert hpo("top", "broken").stdout == "no trial is complete\n"

    def test_export_csv(self):
        """
        CSV has a header and a row a trial; a file gets what standard output would.
        """
        text = hpo("export", "digits", "--to", "csv").stdout
        rows = list(csv.DictReader(io.StringIO(text)))

        assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
        assert [float(row["parameter.lr"]) for row in rows] == [
            trial.configuration["lr"] for trial in trials_of("digits")
        ]
        hpo("export", "digits", "-o", "out.csv")
        assert Path("out.csv").read_text() == text

    def test_export_json(self):
        """
        JSON keeps the types.
        """
        rows = json.loads(hpo("export", "digits", "--to", "json").stdout)

        assert [row["parameter.lr"] for row in rows] == [
            trial.configuration["lr"] for trial in trials_of("digits")
        ]

    def test_export_jsonl(self):
        """
        JSON lines have one trial each.
        """
        lines = hpo("export", "digits", "--to", "jsonl").stdout.splitlines()

        assert [json.loads(line)["number"] for line in lines] == [0, 1, 2, 3]

    def test_export_to_nowhere(self):
        """
        A file that cannot be written is a matter of usage.
        """
        result = hpo("export", "digits", "-o", "no/such/folder/x.csv", code=2)
        assert "no/such/folder/x.csv cannot be written: No such file" in result.stderr

    def test_report(self):
        """
        The report's four files are written where they are wanted.
        """
        paths = printed("report", "digits", "-o", "out")

        assert set(paths) == {"summary", "markdown", "trials_csv", "trials_json"}
        assert all(Path(path).is_file() for path in paths.values())
        assert hpo("report", "digits", "-o", "out").stdout.splitlines() == list(paths.values())

    @pytest.mark.parametrize("name", ["status", "top", "export", "report"])
    def test_unknown_study(self, name):
        """
        A study that is not there is refused with the nearest names.
        """
        result = hpo(name, "digit", code=1)

        assert result.stderr == "no study is called 'digit'\n    hint: did you mean 'digits'?\n"
        assert "hpo status lists them" in hpo(name, "zzzzz", code=1).stderr
        elsewhere = hpo(name, "x", "--storage", "memory://none", code=1)
        assert elsewhere.stderr == "no study is called 'x': there are no studies yet\n"
