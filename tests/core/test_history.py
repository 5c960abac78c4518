"""
Trials of others: mapped into a space, counted where they do not fit, told once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.errors import StudyError
from airflow_hpo.history import Tally, fit_configuration, fit_past, fit_point
from airflow_hpo.history.files import read_entries, read_file
from airflow_hpo.history.fit import MisfitError
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Outcome, TrialState
from airflow_hpo.report import write_report
from airflow_hpo.storage import open_storage
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.study import Study
from airflow_hpo.testing.spaces import SPACES, make_history

TEXT = """
hpo: 1
name: digits
objective: {metric: loss, direction: minimize}
space:
  rate: {float: [0, 1]}
  units: {int: [1, 64]}
  kind: {choice: [relu, tanh]}
strategy: {name: tpe, seed: 3, startup_trials: 4}
budget: {trials: 9}
trial: {command: "python train.py {rate} {units} {kind}"}
"""


def blueprint_of(*lines, text=TEXT, **replaced):
    """
    Return the blueprint with more *lines*, and with words replaced.
    """
    for old, new in replaced.items():
        text = text.replace(old, new)
    (blueprint,) = parse_blueprints("\n".join([text, *lines]))
    return blueprint


def run(study, count=3):
    """
    Run so many trials of *study*; the loss is the rate.
    """
    trials = study.ask(count, key=f"ask {len(study.record().trials)}")
    for trial in trials:
        study.start(trial.number, key="only")
        value = float(trial.configuration.get("rate", 0.5))
        outcome = Outcome(TrialState.COMPLETE, values=(value,), metrics={"loss": value, "epoch": 3})
        study.tell(trial.number, outcome, attempt=1)
    return trials


def space_of(*constraints, **distributions):
    """
    Return a space of these parameters.
    """
    parameters = (
        item if isinstance(item, Parameter) else Parameter(name=name, distribution=item)
        for name, item in distributions.items()
    )
    return Space(parameters=tuple(parameters), constraints=constraints)


SPACE = space_of(
    "width * depth <= 100",
    rate=Float(low=0, high=1),
    width=Int(low=1, high=64),
    depth=Parameter(name="depth", distribution=Int(low=1, high=9), default=(2,)),
    kind=Categorical(choices=("plain", "deep")),
    momentum=Parameter(
        name="momentum", distribution=Float(low=0, high=1), when={"kind": ("deep",)}
    ),
    epochs=Constant(value=3),
)


class TestFit:
    """
    A configuration of another space, in this one.
    """

    def test_what_fits_is_kept_in_its_type(self):
        """
        Values are cast, constants and defaults added, what is inactive or foreign dropped.
        """
        tally = Tally()
        values = {"kind": "plain", "old": 1, "momentum": 0.5, "rate": 1, "width": 8.0}

        found = fit_configuration(SPACE, values, tally)

        expected = {"rate": 1.0, "width": 8, "depth": 2, "kind": "plain", "epochs": 3}
        assert json.dumps(found) == json.dumps(expected)
        assert tally.filled == {"depth": 1}
        assert tally.dropped == {"old is no parameter of this space": 1}

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"rate": 1.5}, "rate is outside its values"),
            ({"rate": "fast"}, "rate is outside its values"),
            ({"kind": "deep"}, "momentum has no value"),
            ({"epochs": 4}, "epochs is outside its values"),
            ({"width": 60}, "constraint 'width \\* depth <= 100' does not hold"),
        ],
    )
    def test_what_does_not_fit_says_why(self, changes, reason):
        """
        The reason is the same for all trials that are left out for it.
        """
        tally = Tally()
        values = {"rate": 0.5, "width": 8, "kind": "plain", "old": 1, **changes}

        with pytest.raises(MisfitError, match=f"^{reason}$"):
            fit_configuration(SPACE, values, tally)
        assert tally == Tally()

    @pytest.mark.parametrize("title", SPACES)
    def test_own_configurations_fit(self, title):
        """
        In the space that it was made for, a trial is what it was.
        """
        trials = make_history(SPACES[title], 30)
        tally = Tally()

        assert list(fit_past(trials, SPACES[title], tally)) == trials
        assert (tally.seen, tally.fit, tally.words()) == (30, 30, [])

    @given(st.sampled_from(sorted(SPACES)), st.sampled_from(sorted(SPACES)))
    def test_past_keeps_numbers_and_is_allowed(self, old, new):
        """
        Whatever the two spaces: no trial is lost, and what teaches is allowed.
        """
        trials = make_history(SPACES[old], 12)
        tally = Tally()

        past = fit_past(trials, SPACES[new], tally)

        assert [trial.number for trial in past] == [trial.number for trial in trials]
        for trial in past:
            problems = list(SPACES[new].problems(trial.configuration))
            assert trial.state is TrialState.FAILED or problems == []
        assert tally.fit + sum(tally.left_out.values()) == tally.seen == 12

    def test_points_lose_single_values(self):
        """
        A point without the value that is outside is still a wish.
        """
        tally = Tally()

        assert fit_point(SPACE, {"rate": 7, "width": 4, "old": 0}, tally) == {"width": 4}
        assert fit_point(SPACE, {"width": 60, "depth": 9}, tally) is None
        assert fit_point(SPACE, {"old": 1, "epochs": 3}, tally) is None
        assert tally.to_dict() == {
            "seen": 3,
            "fit": 1,
            "left_out": {
                "constraint 'width * depth <= 100' does not hold": 1,
                "none of its values is in the space": 1,
            },
            "dropped": {
                "rate is outside its values": 1,
                "old is no parameter of this space": 1,
            },
            "filled": {},
        }
        assert Tally.of(tally.to_dict()) == tally

    def test_tally_in_words(self):
        """
        One reason alone needs no count of its own.
        """
        tally = Tally(seen=4, fit=1)
        tally.left_out.update({"failed": 1})
        assert tally.words() == ["1 trial left out: failed"]

        tally.left_out.update({"no value of loss": 2})
        tally.filled.update({"depth": 1})
        assert tally.words() == [
            "3 trials left out: 2 (no value of loss), 1 (failed)",
            "depth was taken to be its default in 1 trial",
        ]


def entries(text, suffix, **replaced):
    """
    Return what a file with this text holds.
    """
    return read_entries(text, blueprint_of(**replaced), suffix=suffix)


class TestFiles:
    """
    Trials as CSV, JSON and JSON lines.
    """

    def test_plain_tables(self):
        """
        Columns are parameters and metrics by their names; text is read as the parameter's type.
        """
        text = (
            "id,rate,units,kind,loss,note\n"
            '7,1e-3,8,relu,0.5,"a, b"\n'
            ".5,0.25,16.0,tanh,1,\n"
            "8,,32,,,\n"
            "9,0.5,8,relu,nan,\n"
        )

        first, second, third, fourth = (entry.told for entry in entries(text, ".csv"))

        assert dict(first.configuration) == {"rate": 0.001, "units": 8, "kind": "relu"}
        assert (first.values, first.metrics) == ({"loss": 0.5}, {"id": 7, "note": "a, b"})
        assert second.metrics == {"id": 0.5}
        assert (third.configuration, third.values, third.state) == ({"units": 32}, {}, None)
        assert (fourth.state, fourth.values) == (TrialState.INFEASIBLE, {})

    def test_cells_are_what_their_parameter_takes(self):
        """
        The same cell is text, a number or a truth value, whichever there is.
        """
        text = 'kind,loss\n1,0\nTrue,1\n\'=x,2\n"[1, 2]",3\nnull,4\n'
        choices = "'1', true, '=x', [1, 2], null, 1.5"

        found = entries(text, ".csv", **{"relu, tanh": choices})

        kinds = [entry.told.configuration["kind"] for entry in found]
        assert json.dumps(kinds) == json.dumps(["1", True, "=x", [1, 2], None])

    @pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
    def test_exported_studies_are_read(self, hpo, kind):
        """
        Whatever ``hpo export`` writes is a history, each trial as it was.
        """
        blueprint = blueprint_of("study: first")
        study = Study.open(open_storage(), "first", blueprint)
        run(study, 5)
        study.tell(study.ask(1, key="x")[0].number, Outcome(TrialState.FAILED), attempt=0)
        hpo("export", "first", "--to", kind, "-o", f"out.{kind}")

        told = read_file(Path(f"out.{kind}"), blueprint)

        trials = study.record().trials
        assert [dict(each.configuration) for each in told] == [
            trial.configuration for trial in trials
        ]
        assert [each.state for each in told] == [trial.state for trial in trials]
        assert [dict(each.values) for each in told[:5]] == [
            {"loss": trial.values[0]} for trial in trials[:5]
        ]
        assert told[0].metrics["epoch"] == 3

    @pytest.mark.parametrize(
        ("text", "suffix", "expected"),
        [
            ("rate,rate\n1,2\n", ".csv", [(1, "columns must differ, got rate twice")]),
            ("rate;loss\n1;2\n", ".csv", [(1, "separated by commas, got semicolons")]),
            ("rate,loss\n1,2\n1,2,3\n\n1\n", ".csv", [(3, "2 cells"), (5, "2 cells")]),
            ('rate,loss\n"a\nb",1\n1,"x"y\n', ".csv", [(4, "must be CSV")]),
            ("rate,loss,state\n1,2,over\n", ".csv", [(2, "state must be one of waiting")]),
            ("rate,loss\n1,low\n", ".csv", [(2, 'must be a finite number, got "low"')]),
            ('{"rate": 1}', ".json", [(1, "must be a JSON list")]),
            ('[\n{"rate": 1},\n{"rate": }\n]', ".json", [(3, "must be a JSON list")]),
            ('[{"rate": 1} {"rate": 2}]', ".json", [(1, "a comma or the end")]),
            ("[1]", ".json", [(1, "a trial must be a JSON object, got 1")]),
            ('{"configuration": {}, "vals": 1}', ".jsonl", [(1, "did you mean 'value")]),
        ],
    )
    def test_what_is_wrong_has_its_line(self, text, suffix, expected):
        """
        Every problem is told with the line on which its trial begins.
        """
        found = [(entry.line, text) for entry in entries(text, suffix) for text in entry.problems]

        assert [line for line, _ in found] == [line for line, _ in expected]
        for (_, message), (_, part) in zip(found, expected, strict=True):
            assert part in message

    def test_bad_files_are_refused_whole(self, tmp_path):
        """
        Nothing is taken of a file in which something is wrong.
        """
        file = tmp_path / "trials.csv"
        file.write_text("rate,loss\n1,2\n1\n1,2,3\n")

        with pytest.raises(StudyError, match=r"2 problems in history:\n.*trials.csv:3: a row"):
            read_file(file, blueprint_of())
        with pytest.raises(StudyError, match=r"missing.csv cannot be read: No such file"):
            read_file(tmp_path / "missing.csv", blueprint_of())

    @given(st.text(max_size=60), st.sampled_from([".csv", ".json", ".jsonl"]))
    def test_any_text_is_read_or_refused(self, text, suffix):
        """
        No file makes the reader fail.
        """
        for entry in entries(text, suffix):
            assert (entry.told is None) == bool(entry.problems)
            assert entry.line >= 1


CSV = (
    "rate,units,kind,loss\n0.9,8,relu,9\n0.1,9,tanh,1\n0.2,200,relu,2\n0.3,10,relu,3\n0.4,8,tanh,\n"
)


@pytest.fixture(name="storage", params=["memory", "sqlite"])
def _storage(request, tmp_path):
    if request.param == "memory":
        return MemoryStorage()
    return open_storage(f"sqlite:///{tmp_path / 'studies.db'}")


class TestWarmStart:
    """
    What a study is told before its first trial.
    """

    def test_history_of_another_study(self, storage):
        """
        It is shown to the strategy, counts for no budget, and best stays one's own.
        """
        first = Study.open(storage, "first", blueprint_of())
        run(first, 9)
        blueprint = blueprint_of("warm_start: {from: first}")
        study = Study.open(storage, "second", blueprint)

        trials = run(study, 3)

        assert {trial.sampler for trial in trials} == {"tpe"}  # the start-up is known
        assert study.remaining(study.record()) == 6
        assert study.best() in study.record().trials
        assert study.past() == ["warm start: 9 of 9 trials of study first taken as history"]
        known = {trial.configuration["rate"] for trial in first.record().trials}
        assert not known & {trial.configuration["rate"] for trial in trials}

    def test_it_is_taken_once(self, storage):
        """
        What happens to the other study later on changes nothing, nor does a retry.
        """
        first = Study.open(storage, "first", blueprint_of())
        run(first, 5)
        blueprint = blueprint_of("warm_start: {from: first}")
        study = Study.open(storage, "second", blueprint)
        asked = study.ask(2, key="a")
        run(first, 4)
        storage.delete("first")

        again = Study.open(storage, "second", blueprint)

        assert again.ask(2, key="a") == asked
        assert len(again.ask(2, key="b")) == 2
        assert "5 of 5 trials of study first" in again.past()[0]
        other = blueprint_of("warm_start: {from: {study: third}, as: points}")
        assert Study.open(storage, "second", other).past()[-1] == (
            "warm start: what was taken first stays, got study third as points"
        )

    def test_same_history_same_suggestions(self, storage):
        """
        Two studies with one seed and one warm start try the same.
        """
        run(Study.open(storage, "first", blueprint_of()), 8)
        blueprint = blueprint_of("warm_start: {from: first}")
        found = [
            [trial.configuration for trial in run(Study.open(storage, name, blueprint), 5)]
            for name in ("second", "third")
        ]

        assert found[0] == found[1]

    def test_from_another_journal(self, storage, tmp_path):
        """
        A URL says where the other study is.
        """
        url = f"sqlite:///{tmp_path / 'other.db'}"
        run(Study.open(open_storage(url), "first", blueprint_of()), 4)
        blueprint = blueprint_of(f"warm_start: {{from: {{study: first, storage: '{url}'}}}}")

        study = Study.open(storage, "second", blueprint)
        study.ask(1, key="a")

        assert "4 of 4 trials" in study.past()[0]

    def test_from_a_file_the_best_few(self, storage, tmp_path):
        """
        Of the trials that fit the best are taken; what does not fit is counted.
        """
        (tmp_path / "trials.csv").write_text(CSV)
        (tmp_path / "digits.yaml").write_text(
            TEXT + "warm_start: {from: {file: trials.csv}, trials: 2}\n"
        )
        (blueprint,) = parse_blueprints(
            (tmp_path / "digits.yaml").read_bytes(), file=str(tmp_path / "digits.yaml")
        )
        study = Study.open(storage, "s", blueprint)

        study.ask(1, key="a")

        taken = study.record().notes["warm_started"]["trials"]
        assert [trial["values"] for trial in taken] == [[1.0], [3.0]]
        assert study.past() == [
            "warm start: 2 of 5 trials of file trials.csv taken as history",
            "warm start: 2 trials left out: 1 (units is outside its values), 1 (no value of loss)",
        ]

    def test_points_are_tried_again(self, storage, tmp_path):
        """
        The best first, after the blueprint's own points; a value outside is sampled.
        """
        (tmp_path / "trials.csv").write_text(CSV)
        file = tmp_path / "trials.csv"
        blueprint = blueprint_of(
            f"warm_start: {{from: {{file: {file}}}, as: points}}",
            "points: [{rate: 0.77}]",
            tpe="grid",
            **{"float: [0, 1]": "float: [0, 1], step: 0.01"},
        )
        study = Study.open(storage, "s", blueprint)

        trials = run(study, 7)

        assert [trial.configuration["rate"] for trial in trials[:6]] == [
            0.77,
            0.1,
            0.2,
            0.3,
            0.9,
            0.4,
        ]
        assert [trial.sampler for trial in trials] == ["point"] * 6 + ["grid"]
        assert trials[2].configuration["units"] <= 64
        assert study.past() == [
            f"warm start: 5 of 5 trials of file {file} to be tried again",
            "warm start: a value was dropped from 1 trial: units is outside its values",
        ]

    def test_what_is_missing_is_told_before_anything_runs(self, storage):
        """
        No study or file, no trial; the study's own past is not another's.
        """
        for source, message in (
            ("{study: nowhere}", "there is nothing to start warm from: .* 'nowhere'"),
            ("{file: /nowhere.csv}", "nowhere.csv cannot be read"),
            ("{study: s}", "must come from another study, got 's' itself"),
        ):
            study = Study.open(storage, "s", blueprint_of(f"warm_start: {{from: {source}}}"))
            with pytest.raises(StudyError, match=message):
                study.ask(1, key="a")
        assert study.record().trials == ()
        assert study.record().notes == {}

    def test_several_objectives_keep_the_whole_front(self, storage):
        """
        With few to take, they are spread over the front.
        """
        both = {
            "{metric: loss, direction: minimize}": "[{metric: loss, direction: minimize}, "
            "{metric: gain, direction: maximize}]"
        }
        first = Study.open(storage, "first", blueprint_of(**both))
        for trial, values in zip(
            first.ask(5, key="a"), [(0, 0), (1, 5), (0.9, 4.9), (2, 9), (3, 1)], strict=True
        ):
            first.start(trial.number, key="k")
            first.tell(trial.number, Outcome(TrialState.COMPLETE, values=values), attempt=1)
        lines = "warm_start: {from: first, trials: 3}"
        study = Study.open(storage, "second", blueprint_of(lines, **both))

        study.ask(1, key="a")

        taken = study.record().notes["warm_started"]["trials"]
        assert [trial["values"] for trial in taken] == [[0, 0], [0.9, 4.9], [2, 9]]

    def test_objectives_go_by_metric(self, storage):
        """
        What was only measured there may be what is optimised here.
        """
        run(Study.open(storage, "first", blueprint_of()), 4)
        other = {"metric: loss, direction: minimize": "metric: epoch, direction: maximize"}
        study = Study.open(storage, "second", blueprint_of("warm_start: {from: first}", **other))
        study.ask(1, key="a")
        third = {"metric: loss": "metric: accuracy"}
        missing = Study.open(storage, "third", blueprint_of("warm_start: {from: first}", **third))
        missing.ask(1, key="a")

        assert study.record().notes["warm_started"]["trials"][0]["values"] == [3]
        assert missing.past()[1] == "warm start: 4 trials left out: no value of accuracy"

    @pytest.mark.parametrize("name", ["nsga2", "hyperopt_tpe", "hyperopt_anneal", "hyperopt_mix"])
    def test_each_strategy_that_learns(self, name):
        """
        Its own trials are numbered from 0, and the same each time.
        """
        storage = MemoryStorage()
        run(Study.open(storage, "first", blueprint_of()), 9)
        blueprint = blueprint_of("warm_start: {from: first}", tpe=name)
        found = []
        for other in ("second", "third"):
            study = Study.open(storage, other, blueprint)
            trials = [*run(study, 1), *run(study, 3)]
            found.append([trial.configuration for trial in trials])
            assert [trial.number for trial in trials] == [0, 1, 2, 3]

        assert found[0] == found[1]


class TestResume:
    """
    A study goes on after its blueprint was changed.
    """

    def test_narrowed_space(self, storage):
        """
        Trials outside teach no more but stay, and count for the budget.
        """
        run(Study.open(storage, "s", blueprint_of(tpe="random")), 6)
        study = Study.open(
            storage, "s", blueprint_of(**{"rate: {float: [0, 1]}": "rate: {float: [0, 0.5]}"})
        )

        trials = run(study, 9)

        outside = [t for t in study.record().trials[:6] if t.configuration["rate"] > 0.5]
        assert [trial.number for trial in trials] == [6, 7, 8]
        assert all(trial.configuration["rate"] <= 0.5 for trial in trials)
        assert {trial.sampler for trial in trials} == {"tpe"}
        assert study.past() == [
            f"changed space: {9 - len(outside)} of 9 trials fit it",
            f"changed space: {len(outside)} trials left out: rate is outside its values",
        ]
        assert study.remaining(study.record()) == 0

    def test_widened_space(self, storage):
        """
        All of its trials fit a wider space.
        """
        run(Study.open(storage, "s", blueprint_of()), 4)
        study = Study.open(
            storage, "s", blueprint_of(**{"rate: {float: [0, 1]}": "rate: {float: [0, 9]}"})
        )

        run(study, 2)

        assert study.past() == ["changed space: 6 of 6 trials fit it"]

    def test_parameter_added_and_removed(self, storage):
        """
        An added one has its default in earlier trials; a removed one is dropped from them.
        """
        run(Study.open(storage, "s", blueprint_of()), 5)
        changes = {
            "  units: {int: [1, 64]}": "  depth: {int: [1, 3], default: 2}",
            "{units}": "{depth}",
        }
        study = Study.open(storage, "s", blueprint_of(**changes))

        run(study, 2)

        assert study.past() == [
            "changed space: 7 of 7 trials fit it",
            "changed space: a value was dropped from 5 trials: units is no parameter of this space",
            "changed space: depth was taken to be its default in 5 trials",
        ]
        without = {**changes, ", default: 2": ""}
        again = Study.open(storage, "s", blueprint_of(**without))
        assert again.past()[1] == "changed space: 5 trials left out: depth has no value"

    def test_definition_follows(self, storage):
        """
        What ``hpo status`` and the report read is the newest blueprint; no trial is changed.
        """
        run(Study.open(storage, "s", blueprint_of()), 3)
        before = Study.load(storage, "s").record().trials
        wider = blueprint_of(**{"[1, 64]": "[1, 99]"})
        Study.open(storage, "s", wider)

        assert Study.load(storage, "s").blueprint == wider
        assert Study.load(storage, "s").record().trials == before
        kinds = [event.kind for event in storage.events("s")]
        assert kinds.count("redefined") == kinds.count("space_changed") == 1
        Study.open(storage, "s", wider)
        assert len(storage.events("s")) == len(kinds)

    @pytest.mark.parametrize("name", ["tpe", "cmaes", "nsga2", "hyperopt_tpe", "qmc", "random"])
    def test_every_engine_goes_on(self, name):
        """
        Also those that keep notes with their trials, whatever was changed.
        """
        storage = MemoryStorage()
        budget = {
            "trials: 9": "trials: 99",
            "tpe": name,
            "kind: {choice: [relu, tanh]}": "kind: {choice: [relu]}",
        }
        run(Study.open(storage, "s", blueprint_of(**budget)), 30)
        for changes in (
            {"float: [0, 1]": "float: [0.4, 2]"},
            {"  units: {int: [1, 64]}": "  depth: {int: [1, 3], default: 2}", "{units}": "{depth}"},
            {"float: [0, 1]": "int: [0, 3]"},
        ):
            study = Study.open(storage, "s", blueprint_of(**budget, **changes))
            for trial in run(study, 12):
                assert list(study.blueprint.space.problems(trial.configuration)) == []
        numbers = [trial.number for trial in storage.load("s").trials]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= 50

    def test_the_report_says_it(self, storage, tmp_path):
        """
        What was left out is in the summary and in words.
        """
        run(Study.open(storage, "s", blueprint_of()), 3)
        study = Study.open(storage, "s", blueprint_of(**{"relu, tanh": "gelu"}))

        files = write_report(study.record(), study.blueprint, tmp_path)

        assert json.loads(files.summary.read_text())["history"] == study.past()
        assert "- changed space: 0 of 3 trials fit it" in files.markdown.read_text()
