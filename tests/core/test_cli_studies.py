"""
``hpo status``, ``top``, ``export`` and ``report``: looking at studies.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from pathlib import Path

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.model.trial import Measurement, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study


class TestStudies:
    """
    ``hpo status``, ``top``, ``export`` and ``report``.
    """

    @pytest.fixture(autouse=True)
    def _study(self, hpo):
        """
        A study whose trials ended without being run.
        """
        (blueprint,) = parse_blueprints(hpo.DIGITS)
        study = Study.open(open_storage(), "digits", blueprint)
        for trial in study.ask(4, key="all"):
            lr = trial.configuration["lr"]
            study.start(trial.number, key="try")
            outcome = Outcome(TrialState.COMPLETE, values=(lr,), metrics={"y": lr})
            study.tell(trial.number, outcome, attempt=1)
        study.decide()

    def test_list(self, hpo):
        """
        Without a name all studies are listed, newest first.
        """
        (blueprint,) = parse_blueprints(hpo.DIGITS)
        Study.open(open_storage(), "second", blueprint)

        studies = hpo.json("status")
        assert [study["study"] for study in studies] == ["second", "digits"]
        assert studies[1] == {
            "study": "digits",
            "created": studies[1]["created"],
            "trials": 4,
            "states": {"complete": 4},
            "stop": {"rule": "trials", "reason": "all 4 trials of the budget have ended"},
        }
        assert "second" in hpo("status").stdout

    def test_empty_list(self, hpo):
        """
        No studies are no error.
        """
        assert hpo.json("status", "--storage", "memory://empty") == []
        assert hpo("status", "--storage", "memory://empty").stdout == "there are no studies yet\n"

    def test_one_study(self, hpo):
        """
        One study is shown with states, best trial and why it ended.
        """
        details = hpo.json("status", "digits")

        assert details["states"] == {"complete": 4}
        assert details["status"] == "ended"
        assert details["running"] == []
        best = max(hpo.trials("digits"), key=lambda trial: trial.values)
        assert details["best"]["number"] == best.number
        assert f"best: #{best.number} with y = " in hpo("status", "digits").stdout

    def test_running_trials_show_what_they_measured_last(self, hpo):
        """
        A running trial is shown with its last measurement.
        """
        storage = open_storage()
        storage.start("digits", 2, key="again")
        measured = [Measurement({"y": y}, time=1.0, resource=y) for y in (1, 2)]
        storage.measure("digits", 2, measured, attempt=2, first=0)

        (running,) = hpo.json("status", "digits")["running"]
        assert (running["number"], running["attempt"]) == (2, 2)
        assert running["measurement"] == {"metrics": {"y": 2}, "resource": 2.0, "time": 1.0}
        assert "y=2" in hpo("status", "digits").stdout

    def test_top(self, hpo):
        """
        The best trials come best first, and no more than asked for.
        """
        top = hpo.json("top", "digits", "-n", "3")

        values = sorted((trial.values[0] for trial in hpo.trials("digits")), reverse=True)
        assert [line["values"]["y"] for line in top] == values[:3]
        lines = hpo("top", "digits", "-n", "3").stdout.splitlines()
        assert lines[0].split() == ["trial", "y", "lr", "act", "took"]
        assert len(lines) == 5

    def test_top_of_nothing(self, hpo):
        """
        Where no trial is complete there is nothing to rank.
        """
        (blueprint,) = parse_blueprints(hpo.DIGITS)
        Study.open(open_storage(), "broken", blueprint).ask(2, key="all")

        assert hpo.json("top", "broken") == []
        assert hpo("top", "broken").stdout == "no trial is complete\n"

    def test_export_csv(self, hpo):
        """
        CSV has a header and a row a trial; a file gets what standard output would.
        """
        text = hpo("export", "digits", "--to", "csv").stdout
        rows = list(csv.DictReader(io.StringIO(text)))

        assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
        assert [float(row["parameter.lr"]) for row in rows] == [
            trial.configuration["lr"] for trial in hpo.trials("digits")
        ]
        hpo("export", "digits", "-o", "out.csv")
        assert Path("out.csv").read_text() == text

    def test_export_json(self, hpo):
        """
        JSON keeps the types.
        """
        rows = json.loads(hpo("export", "digits", "--to", "json").stdout)

        assert [row["parameter.lr"] for row in rows] == [
            trial.configuration["lr"] for trial in hpo.trials("digits")
        ]

    def test_export_jsonl(self, hpo):
        """
        JSON lines have one trial each.
        """
        lines = hpo("export", "digits", "--to", "jsonl").stdout.splitlines()

        assert [json.loads(line)["number"] for line in lines] == [0, 1, 2, 3]

    def test_export_to_nowhere(self, hpo):
        """
        A file that cannot be written is a matter of usage.
        """
        result = hpo("export", "digits", "-o", "no/such/folder/x.csv", code=2)
        assert "no/such/folder/x.csv cannot be written: No such file" in result.stderr

    def test_report(self, hpo):
        """
        The report's files are written where they are wanted.
        """
        paths = hpo.json("report", "digits", "-o", "out")

        parquet = {"trials_parquet"} if importlib.util.find_spec("pyarrow") else set()
        expected = {"summary", "markdown", "html", "trials_csv", "trials_json"}
        assert set(paths) == expected | parquet
        assert all(Path(path).is_file() for path in paths.values())
        assert hpo("report", "digits", "-o", "out").stdout.splitlines() == list(paths.values())

    @pytest.mark.parametrize("name", ["status", "top", "export", "report"])
    def test_unknown_study(self, hpo, name):
        """
        A study that is not there is refused with the nearest names.
        """
        result = hpo(name, "digit", code=1)

        assert result.stderr == "no study is called 'digit'\n    hint: did you mean 'digits'?\n"
        assert "hpo status lists them" in hpo(name, "zzzzz", code=1).stderr
        elsewhere = hpo(name, "x", "--storage", "memory://none", code=1)
        assert elsewhere.stderr == "no study is called 'x': there are no studies yet\n"
