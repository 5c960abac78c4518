"""
Many processes on one study at once: numbers stay gapless, and the budget is the budget.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.model.trial import Measurement, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.processes import run_together

_PROCESSES = 16
_TRIALS = 48
_BLUEPRINT = f"""
hpo: 1
name: crowd
objective: {{metric: loss, direction: minimize}}
space:
  x: {{float: [-5, 5]}}
  y: {{float: [1e-3, 1e3], log: true}}
strategy: {{name: random, seed: 3}}
budget: {{trials: {_TRIALS}}}
trial: {{command: "true {{x}} {{y}}"}}
"""


def live(url: str, worker: int) -> list[int]:
    """
    Open the study, and ask, measure and tell until there is no trial left; return its trials.
    """
    (blueprint,) = parse_blueprints(_BLUEPRINT)
    study = Study.open(open_storage(url), "crowd", blueprint)
    numbers: list[int] = []
    while trials := study.ask(1, key=f"{worker}/{len(numbers)}"):
        for trial in trials:
            value = float(trial.configuration["x"]) ** 2
            attempt = study.start(trial.number, key=f"{worker}").attempt
            measured = [Measurement({"loss": value}, time.time())]
            study.measure(trial.number, measured, attempt=attempt, first=0)
            outcome = Outcome(TrialState.COMPLETE, values=(value,), metrics={"loss": value})
            study.tell(trial.number, outcome, attempt=attempt)
            study.decide()
            numbers.append(trial.number)
    return numbers


@pytest.fixture(params=["sqlite", "postgresql"], name="url")
def _url(request, tmp_path) -> str:
    """
    The URL of an empty journal.
    """
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/studies.db"
    return request.getfixturevalue("postgres_url")


def test_sixteen_processes_share_one_study(url):
    """
    Of sixteen processes that open, ask and tell at once none fails; each trial is had by one of
    them, no number is missing, and the study ends at its budget.
    """
    had = run_together([partial(live, url, worker) for worker in range(_PROCESSES)], timeout_s=240)

    record = Study.load(open_storage(url), "crowd").record()
    assert sorted(number for numbers in had for number in numbers) == list(range(_TRIALS))
    assert [trial.number for trial in record.trials] == list(range(_TRIALS))
    assert Counter(trial.state for trial in record.trials) == {TrialState.COMPLETE: _TRIALS}
    assert all(trial.values == (trial.configuration["x"] ** 2,) for trial in record.trials)
    assert len({tuple(trial.configuration.items()) for trial in record.trials}) == _TRIALS
    assert record.stop is not None
    assert record.stop.rule == "trials"
