"""
The command line: what all commands share, and those that run nothing.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_hpo import __version__
from airflow_hpo.cli import app
from airflow_hpo.cli.output import Format
from airflow_hpo.model.trial import TrialState

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
def _bad(hpo):
    """
    Beside the right blueprint there is a wrong one.
    """
    Path("bad.yaml").write_text(BAD)


class TestProgram:
    """
    What all commands share.
    """

    COMMANDS = (
        *("check", "schema", "plan", "convert", "suggest", "run"),
        *("stop", "status", "top", "compare", "export", "report", "repair", "import", "init"),
        *("generate", "trigger", "watch"),
    )
    OF_A_STUDY = frozenset({"stop", "status", "top", "compare", "export", "report", "repair"})

    def test_every_command_is_known_here(self):
        """
        The list of commands below is complete.
        """
        assert {command.name for command in app.registered_commands} == set(self.COMMANDS)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_has_help_and_an_example_that_works(self, hpo, name):
        """
        Help says what a command does and gives an example; the example works.
        """
        (registered,) = [each for each in app.registered_commands if each.name == name]
        text = hpo(name, "--help").stdout
        assert registered.callback.__doc__.strip().splitlines()[0][:30] in text
        example = registered.epilog.removeprefix("Example: hpo ")
        assert example != registered.epilog
        Path("blueprints").mkdir()

        if name in {"trigger", "watch"}:
            return  # they want an Airflow: see test_cli_airflow
        if name in self.OF_A_STUDY:
            hpo("run", "digits.yaml", "--quiet")
        if name == "compare":
            hpo("run", "digits.yaml", "--quiet", "--study", "digits-2")
        if name == "import":
            hpo("run", "digits.yaml", "--quiet", "--study", "mine")
            hpo("export", "mine", "--to", "optuna", "sqlite:///optuna.db", "--as", "cnn")
        hpo(*shlex.split(example))

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_speaks_json(self, name):
        """
        Programs can read what every command prints; a schema is JSON anyway.
        """
        (registered,) = [each for each in app.registered_commands if each.name == name]
        options = inspect.signature(registered.callback).parameters.values()

        assert name == "schema" or Format.TEXT in [each.default for each in options]

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, hpo, shell):
        """
        Each shell gets a script that asks the program how to complete a line.
        """
        assert "_HPO_COMPLETE" in hpo.process(_HPO_COMPLETE=f"source_{shell}").stdout

    def test_completion_of_commands_and_studies(self, hpo):
        """
        Commands are completed, and names of studies that there are.
        """
        hpo("run", "digits.yaml", "--quiet")

        def completed(line, place):
            words = {"COMP_WORDS": line, "COMP_CWORD": str(place)}
            return hpo.process(_HPO_COMPLETE="complete_bash", **words).stdout.split()

        assert completed("hpo comp", 1) == ["compare"]
        assert completed("hpo top dig", 2) == ["digits"]

    @pytest.mark.parametrize("option", ["-h", "--help"])
    def test_help_lists_the_commands(self, hpo, option):
        """
        The program's help names every command.
        """
        text = hpo(option).stdout

        assert all(name in text for name in self.COMMANDS)

    def test_version(self, hpo):
        """
        The version is the package's.
        """
        assert hpo("--version").stdout == f"hpo {__version__}\n"

    @pytest.mark.parametrize(
        "words", [["plot"], ["plan"], ["plan", "digits.yaml", "--format", "xml"], ["top", "-n"]]
    )
    def test_usage_errors_exit_2(self, hpo, words):
        """
        What the command line itself does not allow exits with 2.
        """
        assert "Error" in hpo(*words, code=2).stderr

    def test_starting_loads_nothing_heavy(self, hpo):
        """
        Help needs neither pydantic, a database nor an engine, let alone Airflow.
        """
        code = "import sys, airflow_hpo.cli; print(*sys.modules)"
        run = [sys.executable, "-c", code]
        env = hpo.environment()
        done = subprocess.run(run, env=env, capture_output=True, text=True, check=True)

        heavy = {"pydantic", "sqlalchemy", "numpy", "optuna", "scipy", "yaml", "airflow"}
        assert not heavy & set(done.stdout.split())

    def test_no_command_needs_airflow(self, hpo, tmp_path):
        """
        All of it works where Airflow cannot be imported.
        """
        (tmp_path / "block").mkdir()
        (tmp_path / "block" / "airflow.py").write_text("raise ImportError('no airflow here')")
        path = os.pathsep.join([str(tmp_path / "block"), hpo.environment()["PYTHONPATH"]])

        for words in (["check", "digits.yaml"], ["run", "digits.yaml", "-q"], ["status"]):
            done = subprocess.run(
                hpo.command(*words),
                env=hpo.environment(PYTHONPATH=path),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr

    def test_errors_are_messages(self, hpo):
        """
        What the package raises on purpose is a message on standard error, exit code 1.
        """
        result = hpo("plan", "bad.yaml", code=1)

        assert result.stdout == ""
        assert result.stderr.startswith("2 problems in blueprint:\nbad.yaml:3:")
        assert "Traceback" not in result.stderr

    def test_debug_shows_the_traceback(self, hpo, monkeypatch):
        """
        HPO_DEBUG=1 shows where the error came from.
        """
        monkeypatch.setenv("HPO_DEBUG", "1")

        assert "Traceback" in hpo("plan", "bad.yaml", code=1).stderr

    @pytest.mark.parametrize("url", ["nonsense://", "sqlite:////dev/null/x.db"])
    def test_unreachable_journal_is_a_message(self, hpo, url):
        """
        A journal that cannot be reached is named, without a traceback.
        """
        result = hpo("status", "--storage", url, code=1)

        assert result.stderr
        assert "Traceback" not in result.stderr

    def test_output_is_plain_where_nobody_looks(self, hpo):
        """
        Piped output has no escape codes and cuts nothing, however wide.
        """
        wide = "".join(f"  parameter_number_{n}: {{choice: [{'v' * 40}]}}\n" for n in range(9))
        text = hpo.DIGITS.replace("  act:", f"{wide}  act:").replace(
            "{act};", "{act}; : {parameters};"
        )
        Path("wide.yaml").write_text(text)

        done = hpo.process("suggest", "wide.yaml", COLUMNS="40")
        assert "\x1b" not in done.stdout
        header, _, row = done.stdout.splitlines()
        assert all(f"parameter_number_{n}" in header for n in range(9))
        assert row.count("v" * 40) == 9

    def test_no_color(self, hpo):
        """
        NO_COLOR takes the colours away on a terminal too.
        """
        import pty

        outputs = []
        for more in ({"TERM": "xterm-256color"}, {"TERM": "xterm-256color", "NO_COLOR": "1"}):
            primary, secondary = pty.openpty()
            process = subprocess.Popen(
                hpo.command("plan", "--help"),
                env=hpo.environment(**more),
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
            process.wait(hpo.PATIENCE_S)
            os.close(primary)
            outputs.append(re.search(rb"\x1b\[[0-9;]*3[0-7]", text) is not None)

        assert outputs == [True, False]

    def test_reader_that_leaves_is_no_error(self, hpo):
        """
        A reader of the output that stops early leaves no traceback.
        """
        line = f"{shlex.join(hpo.command('schema'))} | head -c 1"
        done = subprocess.run(
            ["/bin/sh", "-c", line], env=hpo.environment(), capture_output=True, check=False
        )

        assert done.stderr == b""


class TestCheck:
    """
    ``hpo check`` and ``hpo schema``.
    """

    def test_fine(self, hpo):
        """
        A right blueprint exits with 0 and says so.
        """
        assert hpo("check", "digits.yaml").stdout == "digits.yaml: fine\n"

    def test_problems_with_their_places(self, hpo):
        """
        Problems show place, path, rule, value and hint, all at once, and exit with 1.
        """
        text = hpo("check", "bad.yaml", code=1).stdout

        assert text.startswith("2 problems in blueprint:\nbad.yaml:3:")
        assert "objective.direction: " in text
        assert "got 'maximise'" in text
        assert "    hint: did you mean 'maximize'?" in text
        assert "bad.yaml:5:" in text

    def test_json_contract(self, hpo):
        """
        As JSON each problem has the seven documented keys.
        """
        problems = hpo.json("check", "bad.yaml", "digits.yaml", code=1)

        assert [list(problem) for problem in problems] == [
            ["file", "line", "column", "severity", "path", "message", "hint"]
        ] * 2
        assert [(each["file"], each["line"]) for each in problems] == [
            ("bad.yaml", 3),
            ("bad.yaml", 5),
        ]
        assert {problem["severity"] for problem in problems} == {"error"}
        assert hpo.json("check", "digits.yaml") == []

    def test_warnings_are_allowed(self, hpo):
        """
        A blueprint with nothing but warnings exits with 0.
        """
        Path("warned.yaml").write_text(hpo.DIGITS.replace("act {act}", "no act"))

        (problem,) = hpo.json("check", "warned.yaml")
        assert problem["severity"] == "warning"

    @pytest.mark.parametrize("words", [["missing.yaml"], ["digits.yaml", "missing.yaml"]])
    def test_unreadable_file_exits_2(self, hpo, words):
        """
        A file that cannot be read is named; the others are checked all the same.
        """
        result = hpo("check", *words, code=2)

        assert "missing.yaml cannot be read: No such file or directory" in result.stderr
        assert ("digits.yaml: fine" in result.stdout) == ("digits.yaml" in words)

    def test_folders_are_searched(self, hpo):
        """
        Blueprints in a folder are found, hidden and other files passed over.
        """
        for name in ("a/x.yaml", "a/deep/y.yml", "a/.hidden/z.yaml", "a/.z.yaml", "a/notes.txt"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(hpo.DIGITS if name.endswith("ml") else "no blueprint")
        Path("a/x.yaml").write_text(BAD)

        problems = hpo.json("check", "a", "a/x.yaml", code=1)
        assert {problem["file"] for problem in problems} == {"a/x.yaml"}
        assert len(problems) == 2
        assert "a/deep/y.yml: fine" in hpo("check", "a", code=1).stdout

    def test_ids_in_a_folder_are_unique(self, hpo):
        """
        Two blueprints of one folder can't become the same DAG; apart they can.
        """
        Path("a").mkdir()
        Path("a/x.yaml").write_text(hpo.DIGITS)
        Path("a/y.yaml").write_text(hpo.DIGITS)

        (problem,) = hpo.json("check", "a", code=1)
        assert problem["file"] == "a/y.yaml"
        assert "got 'digits', which a/x.yaml has" in problem["message"]
        assert hpo.json("check", "a/x.yaml", "a/y.yaml") == []

    def test_empty_folder_is_noted(self, hpo):
        """
        A folder without blueprints is fine, but nothing stays unsaid.
        """
        Path("empty").mkdir()

        assert "empty holds no blueprints" in hpo("check", "empty").stderr

    @pytest.mark.parametrize(("name", "code"), [("digits.yaml", 0), ("bad.yaml", 1)])
    def test_standard_input(self, hpo, name, code):
        """
        A dash reads standard input.
        """
        assert "<stdin>" in hpo("check", "-", code=code, input=Path(name).read_text()).stdout

    @pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"", b"\x00", b"[1, 2", b"a: &a [*a]"])
    def test_any_bytes_are_problems_at_most(self, hpo, data):
        """
        What is no blueprint at all is reported like any problem.
        """
        Path("odd.yaml").write_bytes(data)

        assert hpo.json("check", "odd.yaml", code=1)[0]["severity"] == "error"

    def test_schema_is_a_json_schema(self, hpo):
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

    def test_json_contract(self, hpo):
        """
        The plan is printed with the documented keys.
        """
        plan = hpo.json("plan", "digits.yaml")

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
            "expected": None,
        }

    def test_text(self, hpo):
        """
        For people it is a table, and a line of totals and notes.
        """
        text = hpo.DIGITS.replace("lr: {float: [0.001, 1.0], log: true}", "lr: {choice: [0.1]}")
        Path("small.yaml").write_text(text)

        lines = hpo("plan", "small.yaml").stdout.splitlines()
        assert lines[0] == "digits (native): 2 trials, batch"
        assert lines[1].split() == ["round", "trials", "sampler"]
        assert lines[3].split() == ["0", "2", "random"]
        assert lines[-1] == (
            "note: budget.trials is capped to 2: there are 2 configurations, not 4"
        )

    def test_missing_file_exits_2(self, hpo):
        """
        A file that is not there is a matter of usage.
        """
        assert "none.yaml cannot be read" in hpo("plan", "none.yaml", code=2).stderr

    def test_standard_input(self, hpo):
        """
        A dash reads standard input here too.
        """
        assert hpo.json("plan", "-", input=hpo.DIGITS)["trials"] == 4

    def test_which_blueprint(self, hpo):
        """
        A name that the file does not hold is refused with those it holds.
        """
        assert hpo.json("plan", "digits.yaml", "--blueprint", "digits")["study"] == "digits"
        result = hpo("plan", "digits.yaml", "--blueprint", "other", code=2)
        assert result.stderr == "--blueprint must be one of digits, got 'other'\n"


class TestSuggest:
    """
    ``hpo suggest``.
    """

    def test_json_contract(self, hpo):
        """
        Suggestions are a list of configurations.
        """
        suggestions = hpo.json("suggest", "digits.yaml", "--count", "3", "--seed", "1")

        assert [list(each) for each in suggestions] == [["lr", "act"]] * 3
        assert all(0.001 <= each["lr"] <= 1 for each in suggestions)

    def test_same_seed_same_suggestions(self, hpo):
        """
        Seed and history determine the answer, in any process; another seed another.
        """
        words = ("suggest", "digits.yaml", "--count", "5", "--format", "json")
        first = hpo.process(*words, "--seed", "3", PYTHONHASHSEED="1").stdout

        assert hpo.process(*words, "--seed", "3", PYTHONHASHSEED="2").stdout == first
        assert hpo(*words, "--seed", "4").stdout != first
        assert hpo(*words).stdout == hpo(*words, "--seed", "7").stdout

    def test_history_is_taken_into_account(self, hpo):
        """
        What was tried is not suggested again; lists and mappings of values are read.
        """
        text = hpo.DIGITS.replace("lr: {float: [0.001, 1.0], log: true}", "lr: {choice: [1, 2]}")
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

    def test_exported_study_is_a_history(self, hpo):
        """
        What ``hpo export --to jsonl`` writes, ``--history`` reads.
        """
        hpo("run", "digits.yaml", "--quiet")
        hpo("export", "digits", "--to", "jsonl", "-o", "h.jsonl")
        before = {row["lr"] for row in hpo.json("suggest", "digits.yaml", "-n", 4)}

        after = hpo.json("suggest", "digits.yaml", "-n", 4, "--history", "h.jsonl")
        assert not before & {row["lr"] for row in after}

    def test_bad_lines_are_reported_at_once(self, hpo):
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

    def test_states_teach_without_values(self, hpo):
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

        assert len(hpo.json("suggest", "digits.yaml", "--history", "-", input=text)) == 1

    def test_nothing_is_stored(self, hpo, tmp_path):
        """
        Suggesting touches no journal.
        """
        hpo("suggest", "digits.yaml")

        assert not (tmp_path / "home").exists()
