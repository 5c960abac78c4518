"""
``hpo stop`` ends what runs elsewhere.
"""

from __future__ import annotations

import time
from pathlib import Path

from airflow_hpo.storage import open_storage

# How long anything here may take before it is called stuck, in seconds.
PATIENCE_S = 60


def test_running_study_ends(hpo):
    """
    Another process that runs the study ends its trials within seconds; they are pruned with
    what they measured, and the reason is theirs.
    """
    slow = hpo.DIGITS.replace('command: "', 'command: "echo \'{{\\"y\\": 1}}\'; sleep 300; ')
    Path("slow.yaml").write_text(slow)
    other = hpo.start("run", "slow.yaml")
    deadline = time.monotonic() + PATIENCE_S
    while not _measured(2):
        assert time.monotonic() < deadline, other.poll()
        time.sleep(0.1)
    said = hpo("stop", "digits", "--reason", "good enough").stdout
    began = time.monotonic()
    output, _ = other.communicate(timeout=PATIENCE_S)
    took = time.monotonic() - began

    assert "2 running trials will be ended" in said
    assert "ended: good enough" in output
    trials = hpo.trials("digits")
    assert {(t.state.value, t.reason) for t in trials} == {
        ("pruned", "the study ended: good enough")
    }
    assert [dict(trial.metrics) for trial in trials] == [{"y": 1}] * 2
    assert took < PATIENCE_S / 2


def _measured(count):
    storage = open_storage()
    if not storage.studies():
        return False
    return sum(1 for trial in storage.load("digits").trials if trial.metrics) >= count


def test_stopping_twice_and_going_on(hpo):
    """
    The first reason stays; what somebody stopped goes on when somebody says so.
    """
    hpo("run", "digits.yaml", "--trials", "1", "--quiet")
    assert "has ended already: all 1 trials" in hpo("stop", "digits").stdout
    hpo("stop", "digits", "--undo", code=2)
    open_storage().stop("digits", None)
    hpo("stop", "digits")
    assert "somebody stopped it" in hpo("run", "digits.yaml", code=None).stdout
    assert "may go on" in hpo("stop", "digits", "--undo").stdout
    hpo("run", "digits.yaml", "--quiet")

    assert len(hpo.trials("digits")) == 4
