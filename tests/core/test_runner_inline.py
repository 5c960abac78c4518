"""
The inline runner beyond its contract: calls, results, captured output.
"""

# ruff: noqa: T201 - the functions under test print

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.model.job import Job, JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.inline import InlineOptions, InlineRunner
from airflow_hpo.testing.runners import output


def by_name(lr, hidden=16):
    """
    Take parameters by name.
    """
    print("lr", lr, "hidden", hidden)
    return {"loss": lr * hidden}


def by_mapping(configuration):
    """
    Take all parameters at once, and spoil them.
    """
    configuration["list"].append(0)
    return {"names": sorted(configuration)}


def echo(**configuration):
    """
    Return the parameters.
    """
    return configuration


def returning(what):
    """
    Return something by name.
    """

    class Array:
        def tolist(self):
            return 0.25

    things = {
        "none": None,
        "int": 3,
        "float": 0.5,
        "array": Array(),
        "nested": {"loss": Array(), "at": {"x": object}},
        "text": "0.5",
        "list": [1],
        "bool": True,
    }
    return things[what]


def raising(what):
    """
    Raise something by name.
    """
    errors = {
        "invalid": TrialInvalidError("the loss diverged"),
        "failed": TrialFailedError("the server was gone"),
        "many lines": ValueError("one\ntwo"),
        "exit text": SystemExit("no data"),
        "exit": SystemExit(),
        "exit true": SystemExit(True),  # noqa: FBT003
    }
    raise errors[what]


def interrupted():
    """
    Behave as if somebody pressed Ctrl-C.
    """
    print("half")
    raise KeyboardInterrupt


def streams(name):
    """
    Print to both streams for a while, alone or beside others.
    """
    for number in range(50):
        print(name, number)
        print(name, number, file=sys.stderr)
        time.sleep(0.0005)


def half_a_line():
    """
    Leave a line unfinished.
    """
    print("half", end="")
    return {"loss": 1}


class Objectives:
    """
    Holds a function at some depth.
    """

    @staticmethod
    def deep(x):
        """
        Return the parameter.
        """
        return x


NOT_CALLABLE = 5


def call(folder, function, configuration=None, **changes):
    """
    Run *function* of this module; return its output and how it ended.
    """
    runner = InlineRunner(InlineOptions(callable=f"{__name__}:{function}"))
    job = Job(
        study="s",
        trial=0,
        attempt=1,
        workspace=str(folder),
        configuration=configuration or {},
        **changes,
    )
    handle = runner.submit(job)
    assert runner.state(handle) is JobState.DONE
    return output(runner, handle), runner.result(handle)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    # Test files are no packages: the runner finds this one as it is loaded.
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


class TestCalls:
    """
    How the function gets its parameters.
    """

    def test_by_name(self, tmp_path):
        """
        As keyword arguments, defaults included.
        """
        lines, result = call(tmp_path, "by_name", {"lr": 0.5})

        assert lines == ["lr 0.5 hidden 16", '{"loss": 8.0}']
        assert result.ok

    def test_as_one_mapping(self, tmp_path):
        """
        Where it takes one parameter called configuration; its own copy.
        """
        configuration = {"list": [1], "a.b": 2}

        lines, _ = call(tmp_path, "by_mapping", configuration)

        assert lines == ['{"names": ["a.b", "list"]}']
        assert configuration == {"list": [1], "a.b": 2}

    def test_types_are_kept(self, tmp_path):
        """
        Nothing becomes text on the way.
        """
        configuration = {"a": 1, "b": 1.0, "c": True, "d": None, "e": [1, "x"], "no name": "ü"}

        lines, _ = call(tmp_path, "echo", configuration)

        assert [json.loads(line) for line in lines] == [configuration]

    def test_a_parameter_that_it_does_not_take(self, tmp_path):
        """
        The reason is Python's own.
        """
        _, result = call(tmp_path, "by_name", {"lr": 1, "typo": 2})

        assert result.failure is Failure.CODE
        assert "unexpected keyword argument 'typo'" in result.reason

    def test_a_function_at_some_depth(self, tmp_path):
        """
        Dots lead into classes.
        """
        assert call(tmp_path, "Objectives.deep", {"x": 2})[0] == ['{"value": 2}']

    def test_a_function_in_the_blueprints_folder(self, tmp_path):
        """
        The job's folder is searched, and left alone afterwards.
        """
        (tmp_path / "hpo_objective_here.py").write_text("def f(x):\n    return x + 1\n")
        runner = InlineRunner(InlineOptions(callable="hpo_objective_here:f"))
        before = list(sys.path)

        handle = runner.submit(
            Job("s", 0, 1, str(tmp_path), configuration={"x": 1}, workdir=str(tmp_path))
        )

        assert output(runner, handle) == ['{"value": 2}']
        assert sys.path == before

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("no_such_module:f", "no_such_module:f cannot be imported: ModuleNotFoundError"),
            ("json:nope", "json:nope cannot be imported: AttributeError"),
            (f"{__name__}:NOT_CALLABLE", "must be callable, got int"),
        ],
    )
    def test_no_such_function(self, tmp_path, path, message):
        """
        It is refused before anything runs.
        """
        runner = InlineRunner(InlineOptions(callable=path))

        with pytest.raises(TrialInvalidError, match=message):
            runner.submit(Job("s", 0, 1, str(tmp_path)))
        assert list(tmp_path.iterdir()) == []


class TestResults:
    """
    What comes of what the function returns or raises.
    """

    @pytest.mark.parametrize(
        ("what", "lines"),
        [
            ("none", []),
            ("int", ['{"value": 3}']),
            ("float", ['{"value": 0.5}']),
            ("array", ['{"value": 0.25}']),
            ("nested", ['{"loss": 0.25, "at": {"x": "<class \'object\'>"}}']),
        ],
    )
    def test_returned(self, tmp_path, what, lines):
        """
        Mappings and numbers are printed as JSON, numbers of arrays as numbers.
        """
        assert call(tmp_path, "returning", {"what": what})[0] == lines

    @pytest.mark.parametrize("what", ["text", "list", "bool"])
    def test_returned_in_vain(self, tmp_path, what):
        """
        Anything else is the function's mistake.
        """
        _, result = call(tmp_path, "returning", {"what": what})

        assert result.failure is Failure.CODE
        assert "must return a mapping, a number or nothing, got" in result.reason

    def test_half_a_line_is_ended(self, tmp_path):
        """
        What is returned begins a line, whatever was printed last.
        """
        assert call(tmp_path, "half_a_line")[0] == ["half", '{"loss": 1}']

    @pytest.mark.parametrize(
        ("what", "code", "failure", "reason"),
        [
            ("invalid", 1, Failure.CODE, "the loss diverged"),
            ("failed", 1, Failure.INFRASTRUCTURE, "the server was gone"),
            ("many lines", 1, Failure.CODE, "ValueError: one\ntwo"),
            ("exit text", 1, Failure.CODE, "exit code 1; last lines of output:\nno data"),
            ("exit", 0, None, None),
            ("exit true", 1, Failure.CODE, "exit code 1; there was no output"),
        ],
    )
    def test_raised(self, tmp_path, what, code, failure, reason):
        """
        Our own errors pass on their message and kind, exits their code.
        """
        _, result = call(tmp_path, "raising", {"what": what})

        assert (result.exit_code, result.failure, result.reason) == (code, failure, reason)

    def test_the_traceback_begins_with_the_function(self, tmp_path):
        """
        The runner's own frames would only be in the way.
        """
        lines, _ = call(tmp_path, "raising", {"what": "many lines"})

        assert not [line for line in lines if "runners/inline.py" in line]
        assert "raise errors[what]" in lines[2]

    def test_an_interruption_goes_on(self, tmp_path):
        """
        It ends the caller as well, and the job counts as cancelled.
        """
        runner = InlineRunner(InlineOptions(callable=f"{__name__}:interrupted"))
        job = Job("s", 0, 1, str(tmp_path))
        before = sys.stdout

        with pytest.raises(KeyboardInterrupt):
            runner.submit(job)

        assert sys.stdout is before
        handle = runner.submit(job)
        assert runner.result(handle).cancelled
        assert output(runner, handle) == ["half"]


class TestCapture:
    """
    Whose output is whose.
    """

    def test_jobs_at_once_do_not_mix(self, tmp_path, capsys):
        """
        Each thread's job has its own output, and this process keeps its own.
        """

        def run(name):
            folder = tmp_path / name
            folder.mkdir()
            return call(folder, "streams", {"name": name})[0]

        before = sys.stdout, sys.stderr
        names = [f"job{number}" for number in range(4)]
        with ThreadPoolExecutor(4) as pool:
            outputs = list(pool.map(run, names))
        print("mine")

        for name, lines in zip(names, outputs, strict=True):
            assert lines == [f"{name} {number}" for number in range(50) for _ in range(2)]
        assert (sys.stdout, sys.stderr) == before
        assert capsys.readouterr().out == "mine\n"

    def test_other_threads_print_as_ever(self, tmp_path, capsys):
        """
        Somebody's progress bar does not end in a job's output.
        """
        stop = threading.Event()

        def bar():
            while not stop.is_set():
                print("bar")
                time.sleep(0.001)

        thread = threading.Thread(target=bar)
        thread.start()
        lines, _ = call(tmp_path, "streams", {"name": "job"})
        stop.set()
        thread.join()

        assert "bar" not in lines
        assert "bar" in capsys.readouterr().out

    def test_output_of_logging_made_in_the_job(self, tmp_path):
        """
        What a handler writes to the streams of the job is its output.
        """
        (tmp_path / "hpo_logs_here.py").write_text(
            "import logging, sys\n"
            "def f():\n"
            "    logger = logging.getLogger('hpo_logs_here')\n"
            "    logger.addHandler(logging.StreamHandler(sys.stderr))\n"
            "    logger.warning('careful')\n"
        )
        runner = InlineRunner(InlineOptions(callable="hpo_logs_here:f"))

        handle = runner.submit(Job("s", 0, 1, str(tmp_path), workdir=str(tmp_path)))

        assert output(runner, handle) == ["careful"]
        logging.getLogger("hpo_logs_here").handlers.clear()
