"""
Reports: whole files, types kept, and safe to open in a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
import threading

import pytest

from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.record import StudyRecord
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Trial, TrialState
from airflow_hpo.report import (
    summarise,
    summary_markdown,
    to_json,
    trial_columns,
    trial_rows,
    write_csv,
    write_report,
    write_text,
)

BLUEPRINT = Blueprint.model_validate(
    {
        "name": "digits",
        "objectives": [{"metric": "accuracy", "direction": "maximize"}],
        "space": {
            "parameters": [
                {"name": "lr", "distribution": {"kind": "float", "low": -1, "high": 1}},
                {"name": "kind", "distribution": {"kind": "choice", "choices": ["a", "=1+1", 3]}},
                {
                    "name": "depth",
                    "distribution": {"kind": "int", "low": 1, "high": 4},
                    "when": {"kind": ["a"]},
                },
            ]
        },
        "strategy": {"name": "random", "seed": 7},
        "budget": {"trials": 4},
        "trial": {"steps": [{"command": "true"}]},
    }
)

BEST = Trial(
    0,
    {"lr": -0.5, "kind": "a", "depth": 2},
    state=TrialState.COMPLETE,
    sampler="random",
    values=(0.75,),
    metrics={"accuracy": 0.75, "epoch": 3, "done": True, "loss": -1.25, "layers": [64, 32]},
    attempt=1,
    started=0.0,
    finished=1.5,
)
FAILED = Trial(
    1,
    {"lr": 0.25, "kind": "=1+1"},
    state=TrialState.FAILED,
    failure=Failure.CODE,
    reason='exit code 1: größer als ∞, "quoted"\nand a second line',
    attempt=2,
)


def record(*trials, stop=None):
    """
    Return the record of a study with *trials*.
    """
    return StudyRecord(
        name="ein Versuch: 2026",
        definition={},
        seed=7,
        created=0.0,
        trials=trials,
        stop=stop,
        plan={"trials": 4},
    )


def table(study, blueprint=BLUEPRINT):
    """
    Return the CSV of a study as rows, header first.
    """
    text = io.StringIO()
    write_csv(trial_rows(study, blueprint), text, columns=trial_columns(study, blueprint))
    return list(csv.reader(io.StringIO(text.getvalue(), newline="")))


class TestRows:
    """
    One flat row a trial.
    """

    def test_all_rows_have_the_same_keys(self):
        """
        What a trial does not have is there, as nothing.
        """
        study = record(BEST, FAILED, Trial(2, {"lr": 0, "kind": 3}))

        rows = list(trial_rows(study, BLUEPRINT))

        assert {tuple(row) for row in rows} == {tuple(trial_columns(study, BLUEPRINT))}
        assert rows[1]["parameter.depth"] is None
        assert rows[1]["value.accuracy"] is None
        assert rows[2]["started"] is None

    def test_parameters_come_in_the_users_order(self):
        """
        Columns follow the space, then the alphabet for what it does not name.
        """
        columns = trial_columns(record(BEST, Trial(1, {"old": 1, "lr": 0})), BLUEPRINT)

        assert [name for name in columns if name.startswith("parameter.")] == [
            "parameter.lr",
            "parameter.kind",
            "parameter.depth",
            "parameter.old",
        ]

    def test_metric_and_parameter_of_one_name_differ(self):
        """
        A metric called like a parameter has a column of its own.
        """
        trial = Trial(0, {"lr": 0.1}, metrics={"lr": 0.2})

        (row,) = trial_rows(record(trial), BLUEPRINT)

        assert (row["parameter.lr"], row["metric.lr"]) == (0.1, 0.2)


class TestCsv:
    """
    CSV for spreadsheets.
    """

    @pytest.mark.parametrize(
        "text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "\uff1d1", "-", "=HYPERLINK(0)"]
    )
    def test_text_is_never_a_formula(self, text):
        """
        Text that a spreadsheet would run is quoted by an apostrophe.
        """
        header, row = table(record(Trial(0, {"kind": text})))

        assert row[header.index("parameter.kind")] == f"'{text}"

    @pytest.mark.parametrize(
        ("value", "cell"),
        [
            (-0.5, "-0.5"),
            (-3, "-3"),
            (1e-05, "1e-05"),
            (True, "true"),
            (None, ""),
            ("", ""),
            ("plain", "plain"),
            ('a,b\n"c"', 'a,b\n"c"'),
            ([64, "ä"], '[64, "ä"]'),
            ({"a": None}, '{"a": null}'),
            (float("nan"), "NaN"),
            (float("-inf"), "-Infinity"),
        ],
    )
    def test_values_are_readable(self, value, cell):
        """
        Numbers stay numbers, negative ones too; text is bare; the rest is JSON.
        """
        header, row = table(record(Trial(0, {"kind": value})))

        assert row[header.index("parameter.kind")] == cell

    def test_names_are_never_formulas(self):
        """
        Columns are named by the user's code, and prefixed.
        """
        header, _ = table(record(Trial(0, {}, metrics={"=cmd": 1, "+x": 2})))

        assert not [name for name in header if name.startswith(("=", "+", "-", "@"))]

    def test_empty_study_has_a_header(self):
        """
        A table without rows still tells its columns.
        """
        (header,) = table(record())

        assert header[:4] == ["number", "state", "sampler", "value.accuracy"]


class TestSummary:
    """
    What a person wants to know.
    """

    def test_best_states_and_plan(self):
        """
        The summary has the best trial, the states, and planned beside actual.
        """
        summary = summarise(record(BEST, FAILED, stop=Stop("plateau", "no gain", 1)), BLUEPRINT)

        assert summary["status"] == "ended"
        assert summary["stop"] == {"rule": "plateau", "reason": "no gain", "trial": 1}
        assert summary["states"] == {"complete": 1, "failed": 1}
        assert summary["planned"] == {"trials": 4}
        assert summary["best"]["values"] == {"accuracy": 0.75}
        assert summary["best"]["duration_s"] == 1.5
        assert summary["created"] == "1970-01-01T00:00:00+00:00"

    def test_empty_study(self):
        """
        A study without trials is open, and has no best.
        """
        summary = summarise(record(), BLUEPRINT)

        assert (summary["status"], summary["trials"], summary["best"]) == ("open", 0, None)
        assert "0 trials (none yet)." in summary_markdown(summary)
        assert "No trial is complete." in summary_markdown(summary)

    def test_no_complete_trial(self):
        """
        A study in which everything failed has no best, and counts the failures.
        """
        summary = summarise(record(FAILED), BLUEPRINT)

        assert summary["best"] is None
        assert "1 trials (1 failed)." in summary_markdown(summary)

    def test_unfinished_trials_make_it_running(self):
        """
        A study runs as long as a trial has not ended.
        """
        assert summarise(record(BEST, Trial(1, {})), BLUEPRINT)["status"] == "running"

    def test_markdown_survives_any_text(self):
        """
        Bars and line breaks in values do not break the table.
        """
        trial = Trial(0, {"kind": "a|b\nc"}, state=TrialState.COMPLETE, values=(1.0,))

        text = summary_markdown(summarise(record(trial, stop=Stop("user", "a\nb")), BLUEPRINT))

        assert "| kind | a\\|b c |" in text
        assert "Ended: a b." in text


class TestFiles:
    """
    Files that appear whole.
    """

    def test_report_has_its_files(self, tmp_path):
        """
        Summary and trials, for people and for programs, with types kept.
        """
        files = write_report(record(BEST, FAILED), BLUEPRINT, tmp_path / "new" / "report")

        rows = json.loads(files.trials_json.read_text("utf-8"))
        assert rows[0]["metric.epoch"] == 3
        assert rows[0]["metric.done"] is True
        assert rows[0]["metric.layers"] == [64, 32]
        assert rows[0]["parameter.lr"] == -0.5
        assert rows[1]["reason"] == FAILED.reason
        assert json.loads(files.summary.read_text("utf-8"))["study"] == "ein Versuch: 2026"
        assert "größer als ∞" in files.trials_csv.read_text("utf-8")
        assert "Best: trial 0 with accuracy = 0.75." in files.markdown.read_text("utf-8")
        assert sorted(path.name for path in files.summary.parent.iterdir()) == [
            "report.html",
            "summary.json",
            "summary.md",
            "trials.csv",
            "trials.json",
            *(["trials.parquet"] if files.trials_parquet else []),
        ]

    def test_writing_again_replaces(self, tmp_path):
        """
        A later report takes the place of the earlier one.
        """
        write_report(record(BEST), BLUEPRINT, tmp_path)
        files = write_report(record(BEST, FAILED), BLUEPRINT, tmp_path)

        assert len(json.loads(files.trials_json.read_text("utf-8"))) == 2
        assert len(list(tmp_path.iterdir())) == (6 if files.trials_parquet else 5)

    def test_json_is_json_for_any_reader(self):
        """
        NaN and infinities, which JSON does not have, become text.
        """
        text = to_json({"a": [float("nan"), float("inf"), (float("-inf"), 1)]})

        def refuse(name):
            raise AssertionError(name)

        read = json.loads(text, parse_constant=refuse)
        assert read == {"a": ["NaN", "Infinity", ["-Infinity", 1]]}

    def test_reader_never_sees_half_a_file(self, tmp_path):
        """
        While a file is written again and again, a reader always finds a whole one.
        """
        path = tmp_path / "file"
        texts = ["a" * 100_000, "b" * 200_000]
        write_text(path, texts[0])
        done = threading.Event()
        seen = set()

        def read():
            while not done.is_set():
                seen.add(path.read_text("utf-8"))

        reader = threading.Thread(target=read)
        reader.start()
        for index in range(50):
            write_text(path, texts[index % 2])
        done.set()
        reader.join()

        assert seen <= set(texts)

    def test_failed_writing_leaves_no_trace(self, tmp_path):
        """
        Where writing fails the old file stays and no other appears.
        """
        path = tmp_path / "file"
        write_text(path, "old")

        with pytest.raises(UnicodeEncodeError):
            write_text(path, "\ud800")

        assert path.read_text("utf-8") == "old"
        assert list(tmp_path.iterdir()) == [path]
