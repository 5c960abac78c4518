"""
Whose fault the end of a trial was: with real commands.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.driver import TrialRun
from airflow_hpo.driver.failures import Signs
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.failure import failure_signature, failure_summary
from airflow_hpo.model.job import JobResult
from airflow_hpo.model.signs import FailureSpec, check_pattern
from airflow_hpo.model.trial import Failure, TrialState
from airflow_hpo.runners.files import Ending
from airflow_hpo.runners.verdict import verdict
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

PRINT_Y = """echo '{{"y": 1.5}}'"""

SPEC = {
    "infeasible": {"exit_codes": [42], "logs": ["loss is (nan|inf)"]},
    "infrastructure": {"exit_codes": [75], "logs": ["NCCL .*timed out"]},
    "code": {"logs": ["AssertionError"]},
}


@pytest.fixture(name="end")
def _end(tmp_path):
    """
    Runs a command as a trial; returns the trial as told.
    """

    def end(command, *, failures=None, **trial):
        x = {"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}
        steps = [{"command": command}]
        blueprint = Blueprint.model_validate(
            {
                "name": "parabola",
                "objectives": [{"metric": "y", "direction": "minimize"}],
                "space": {"parameters": [x]},
                "strategy": {"name": "random", "seed": 7},
                "budget": {"trials": 4},
                "trial": {"steps": steps, "failures": failures or {}, **trial},
            }
        )
        study = Study.open(open_storage(f"sqlite:///{tmp_path / 'studies.db'}"), "s", blueprint)
        study.ask(1, key="ask")
        run = TrialRun(study, 0, key="try", artifacts=tmp_path / "files", log=lambda _: None)
        return run.run()

    return end


INFEASIBLE = (TrialState.INFEASIBLE, None)
MACHINE = (TrialState.FAILED, Failure.INFRASTRUCTURE)
CODE = (TrialState.FAILED, Failure.CODE)


@pytest.mark.parametrize(
    ("command", "kind", "reason"),
    [
        (f"{PRINT_Y}; exit 42", INFEASIBLE, "infeasible by its exit code: exit code 42"),
        ("exit 75", MACHINE, "infrastructure by its exit code: exit code 75"),
        ("exit 3", CODE, "exit code 3"),
        (
            "echo the loss is nan here; exit 1",
            INFEASIBLE,
            "infeasible by its output 'the loss is nan here': exit code 1",
        ),
        (
            "echo NCCL operation timed out >&2; exit 1",
            MACHINE,
            "infrastructure by its output 'NCCL operation timed out': exit code 1",
        ),
        ("echo AssertionError; kill -9 $$", CODE, "code by its output 'AssertionError': killed by"),
        ("kill -9 $$", MACHINE, "killed by SIGKILL from outside"),
        ("""echo '{{"infeasible": "too deep"}}'; exit 3""", INFEASIBLE, "too deep: exit code 3"),
    ],
)
def test_kinds_of_failures(end, command, kind, reason):
    """
    Exit codes, lines of output and the code's own word tell one kind from another.
    """
    trial = end(command, failures=SPEC)

    assert (trial.state, trial.failure) == kind
    assert trial.reason.startswith(reason)
    assert trial.values is None


def test_code_says_that_there_is_no_value(end):
    """
    A line of JSON makes a trial infeasible, whatever else it prints and however it ends.
    """
    trial = end(f"""{PRINT_Y}; echo '{{{{"infeasible": true}}}}'; {PRINT_Y}""")

    assert (trial.state, trial.failure, trial.values) == (TrialState.INFEASIBLE, None, None)
    assert trial.reason.startswith("infeasible, as its code says")
    assert trial.metrics["y"] == 1.5


def test_code_may_deny_it(end):
    """
    ``false`` and ``null`` say nothing.
    """
    trial = end(f"""echo '{{{{"infeasible": false}}}}'; {PRINT_Y}""")

    assert trial.state is TrialState.COMPLETE


def test_rules_say_nothing_of_what_ended_well(end):
    """
    Lines of output only tell why a trial failed, not whether.
    """
    assert end(f"echo loss is nan; {PRINT_Y}", failures=SPEC).is_complete


def test_without_rules_nothing_changes(end):
    """
    By default a crash is the code's fault, whatever it printed.
    """
    trial = end("echo CUDA out of memory; exit 42")

    assert (trial.state, trial.failure) == CODE


def test_timeout_is_a_timeout(end):
    """
    What was printed before the time was up does not make it anything else.
    """
    trial = end("echo AssertionError; sleep 60", failures=SPEC, timeout_s=0.5, grace_s=0.1)

    assert trial.failure is Failure.TIMEOUT


@pytest.mark.parametrize("kind", ["infeasible", "infrastructure", "code", None])
def test_out_of_memory(end, kind):
    """
    Running out of memory is what the blueprint says it is.
    """
    command = f"ulimit -v 400000; {sys.executable} -c 'x = bytearray(10**9)'"
    trial = end(command, failures={"out_of_memory": kind})

    if kind == "infeasible":
        assert trial.state is TrialState.INFEASIBLE
    else:
        assert trial.failure.value == (kind or "code")
    assert "MemoryError" in trial.reason


def test_kernel_short_of_memory(tmp_path):
    """
    SIGKILL while the kernel killed for want of memory is told as that.
    """
    starved = verdict(
        Ending(exit_code=137, signal=9, oom=True), timeout_s=None, log=tmp_path / "log"
    )
    other = verdict(Ending(exit_code=137, signal=9), timeout_s=None, log=tmp_path / "log")

    assert (starved.failure, starved.out_of_memory) == (Failure.INFRASTRUCTURE, True)
    assert starved.reason == "killed by the kernel, which was short of memory"
    assert not other.out_of_memory
    signs = Signs(FailureSpec(out_of_memory="infeasible"))
    assert signs.outcome(starved, []).state is TrialState.INFEASIBLE
    assert signs.outcome(other, []).failure is Failure.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a+)+$", "must not repeat what is repeated itself"),
        (r"(\w+\s?)*x", "must not repeat what is repeated itself"),
        ("((a|b*)c)*", "must not repeat what is repeated itself"),
        (".*.*.*.*.*", "must have at most 4 repetitions without an end, got 5"),
        ("(", "must be a regular expression"),
    ],
)
def test_expressions_that_never_end_are_refused(pattern, message):
    """
    An expression whose search may take years is told so when the blueprint is checked.
    """
    with pytest.raises(ValueError, match=message):
        FailureSpec.model_validate({"code": {"logs": [pattern]}})


@given(st.text(max_size=30) | st.from_regex(r"[ab(|)*+?.{}0-9,\[\]\\^$]{1,20}", fullmatch=True))
def test_any_text_is_an_expression_or_refused(pattern):
    """
    Whatever somebody writes there: it is fit for use, or a ValueError says why not.
    """
    with suppress(ValueError):
        assert check_pattern(pattern) == pattern


def test_search_is_bounded():
    """
    A million long lines cost little memory and little time.
    """
    signs = Signs(FailureSpec.model_validate({"code": {"logs": ["a.*b.*c.*d"]}}))
    began = time.monotonic()
    for _ in range(1000):
        signs.feed(["ab" * 5000] * 10)
    outcome = signs.outcome(JobResult(exit_code=1, failure=Failure.CODE, reason="exit code 1"), [])

    assert outcome.failure is Failure.CODE
    assert time.monotonic() - began < 30
    assert len(signs._lines) <= 2000
    assert all(len(line) <= 1000 for line in signs._lines)


@given(st.lists(st.text(max_size=50), max_size=5))
def test_any_line_is_read(lines):
    """
    Nothing that a job prints makes reading it fail.
    """
    signs = Signs(FailureSpec.model_validate(SPEC))
    signs.feed([*lines, *('{"infeasible": ' + line for line in lines)])
    signs.feed(['{"infeasible": [1]}', '{"infeasible": 1}', '{"infeasible": "" }', "{" * 50_000])

    outcome = signs.outcome(JobResult(exit_code=1, failure=Failure.CODE), [])
    assert outcome.state in {TrialState.FAILED, TrialState.INFEASIBLE}


TRACEBACK = """exit code 1; last lines of output:
Traceback (most recent call last):
  File "/srv/{folder}/train.py", line {line}, in <module>
    main(0x7f{line}00)
  File "/srv/{folder}/train.py", line 7, in main
    raise ValueError("{text}")
ValueError: {text}"""


def test_signatures_of_tracebacks():
    """
    Line numbers, addresses and numbers in the message are no difference; the function, the
    error and its words are.
    """
    same = [
        TRACEBACK.format(folder="a", line=3, text="shape 12 does not fit 0x1f"),
        TRACEBACK.format(folder="a", line=4, text="shape 13 does not fit 0x2e"),
    ]
    other = [
        TRACEBACK.format(folder="a", line=3, text="shape does not fit at all"),
        same[0].replace("ValueError", "KeyError"),
        same[0].replace("in main", "in load"),
        "exit code 3; there was no output",
    ]

    assert failure_signature(same[0]) == failure_signature(same[1])
    assert len({failure_signature(each) for each in [same[0], *other]}) == 5
    assert failure_summary(same[0]) == "ValueError: shape 12 does not fit 0x1f"
    assert (
        failure_summary("exit code 3; there was no output\nx") == "exit code 3; there was no output"
    )


@given(st.text(max_size=300))
def test_any_reason_has_a_signature(reason):
    """
    Whatever a reason looks like, it has a signature and a summary of one line.
    """
    assert failure_signature(reason) == failure_signature(reason)
    assert len(failure_summary(reason)) <= 303
