"""
What the journal costs: an ask, a trial's life and a load, in short and long studies.

Three measurements for each length of a study, each the median of its turns:

* **ask**: `append` of a batch of 5 suggestions that cost nothing to think of.
* **trial**: `start`, `measure` of 10 measurements and `finish`.
* **load**: `load`, without measurements and with them, and `studies`.

    .venv/bin/python benchmarks/journal.py [--url URL] [--trials 100 1000 10000] [--json FILE]

Without a URL it is a SQLite file in the folder for temporary files. A study's
name is ``benchmark`` and its length; those are deleted first and afterwards.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from airflow_hpo.errors import StudyNotFoundError
from airflow_hpo.model.record import StudyRecord
from airflow_hpo.model.trial import Measurement, Outcome, Suggestion, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.storage.base import Storage

CONFIGURATION = {
    "learning_rate": 0.0123456789,
    "dropout": 0.3,
    "hidden": 64,
    "activation": "relu",
    "optimizer": "sgd",
    "epochs": 10,
}
MEASUREMENTS = [
    Measurement({"loss": 1 / (epoch + 1), "accuracy": epoch / 10}, 1e9 + epoch, epoch)
    for epoch in range(10)
]
OUTCOME = Outcome(TrialState.COMPLETE, values=(0.1,), metrics=MEASUREMENTS[-1].metrics)

# So many trials of a study live, at most: the rest only wait, and are loaded.
LIVED = 1_000


def propose(count: int) -> Callable[[StudyRecord], Sequence[Suggestion]]:
    """
    Return a strategy that does not think.
    """
    return lambda _: [Suggestion(CONFIGURATION, "benchmark")] * count


def live(storage: Storage, study: str, number: int) -> None:
    """
    Take one trial through its life.
    """
    storage.start(study, number, key="benchmark")
    storage.measure(study, number, MEASUREMENTS, attempt=1, first=0)
    storage.finish(study, number, OUTCOME, attempt=1)


def milliseconds(call: Callable[[int], object], turns: int) -> float:
    """
    Return the median time that *call* takes.
    """
    times = []
    for turn in range(turns):
        began = time.perf_counter()
        call(turn)
        times.append(time.perf_counter() - began)
    return round(statistics.median(times) * 1000, 2)


def forget(storage: Storage, study: str) -> None:
    """
    Delete what an earlier turn may have left.
    """
    try:
        storage.delete(study)
    except StudyNotFoundError:
        return


def measure(storage: Storage, trials: int) -> dict[str, float]:
    """
    Return what a study of so many trials costs.
    """
    study = f"benchmark {trials}"
    forget(storage, study)
    storage.create(study, definition={}, seed=0, plan={})
    storage.append(study, "all", propose(trials))
    found = {
        "trials": trials,
        "trial_ms": milliseconds(lambda turn: live(storage, study, turn), min(trials, LIVED)),
        "ask_ms": milliseconds(lambda turn: storage.append(study, f"{turn}", propose(5)), 20),
        "load_ms": milliseconds(lambda _: storage.load(study), 7),
        "load_measured_ms": milliseconds(lambda _: storage.load(study, measurements=True), 7),
        "studies_ms": milliseconds(lambda _: storage.studies(), 7),
    }
    forget(storage, study)
    return found


def main() -> None:
    """
    Measure and print.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--url", help="a storage; a new SQLite file by default")
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(arguments.url or f"sqlite:///{folder}/studies.db")
        print(storage)
        for trials in arguments.trials:
            figures.append(measure(storage, trials))
            print("  ".join(f"{name} {value:g}" for name, value in figures[-1].items()), flush=True)
        storage.close()
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
