"""
``hpo export --to optuna`` and ``hpo import``: studies to and from other tools.
"""

from __future__ import annotations

import pickle
from datetime import datetime, timezone
from pathlib import Path

import numpy as np  # noqa: TID253 - what HyperOpt draws from
import optuna  # noqa: TID253 - what studies are exchanged with
import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.model.trial import Failure, Measurement, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

BLUEPRINT = """
hpo: 1
name: net
study: net
objective: {metric: acc, direction: maximize}
space:
  model: {choice: [tree, net]}
  lr: {float: [0.001, 1.0], log: true, when: {model: net}}
  depth: {int: [1, 9], step: 2, when: {model: tree}}
strategy: {name: random, seed: 3}
outcome_constraints: [ms <= 20]
budget: {trials: 40}
trial: {command: "echo {model}"}
"""


@pytest.fixture(name="study")
def _study(hpo):
    """
    A study with a trial of each kind.
    """
    (blueprint,) = parse_blueprints(BLUEPRINT)
    study = Study.open(open_storage(), "net", blueprint)
    for trial in study.ask(8, key="all"):
        if trial.number == 7:
            continue
        study.storage.start("net", trial.number, key="try", at=1000.0 + trial.number)
        steps = [
            Measurement({"acc": step / 10}, 1000.0, step) for step in range(1, trial.number + 2)
        ]
        study.measure(trial.number, steps, attempt=1, first=0)
        study.tell(trial.number, outcome(trial.number), attempt=1)
    return study


def outcome(number):
    """
    Return how a trial ended: 1 failed, 2 is infeasible, 3 was pruned.
    """
    time = 1010.0 + number
    special = {
        1: Outcome(TrialState.FAILED, failure=Failure.TIMEOUT, reason="too slow", time=time),
        2: Outcome(TrialState.INFEASIBLE, reason="diverged", time=time),
        3: Outcome(TrialState.PRUNED, reason="no use", metrics={"acc": 0.4}, time=time),
    }
    good = Outcome(
        TrialState.COMPLETE,
        values=(number / 10,),
        metrics={"acc": number / 10, "ms": 15.0 + number},
        time=time,
    )
    return special.get(number, good)


class TestExport:
    """
    ``hpo export --to optuna``.
    """

    @pytest.mark.parametrize("url", ["sqlite:///optuna.db", "optuna.journal"])
    def test_everything_is_there(self, hpo, study, url):
        """
        States, values, distributions, steps, times and reasons are in Optuna's own storage.
        """
        result = hpo.json("export", "net", "--to", "optuna", url)
        assert result == {"study": "net", "to": "optuna", "name": "net", "trials": 8}

        from airflow_hpo.storage.optuna_copy import open_optuna

        copy = optuna.load_study(study_name="net", storage=open_optuna(url))
        names = [trial.state.name for trial in copy.trials]
        assert names[:4] == ["COMPLETE", "FAIL", "FAIL", "PRUNED"]
        assert names[7] == "WAITING"
        assert copy.best_trial.number == study.best().number == 5
        assert copy.trials[1].user_attrs["reason"] == "too slow"
        assert copy.trials[3].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}
        assert copy.trials[4].datetime_start.timestamp() == 1004.0
        assert copy.metric_names == ["acc"]
        assert {name for trial in copy.trials for name in trial.params} == {"model", "lr", "depth"}

    @pytest.mark.usefixtures("study")
    def test_a_second_copy_needs_another_name(self, hpo):
        """
        What is there is never written over.
        """
        hpo("export", "net", "--to", "optuna", "sqlite:///optuna.db")

        result = hpo("export", "net", "--to", "optuna", "sqlite:///optuna.db", code=1)
        assert "a study called 'net' is there already" in result.stderr
        hpo("export", "net", "--to", "optuna", "sqlite:///optuna.db", "--as", "net2")
        assert optuna.get_all_study_names("sqlite:///optuna.db") == ["net", "net2"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--to", "optuna"], "--to optuna must be followed by a URL"),
            (["sqlite:///x.db"], "a URL and --as must be given with --to optuna"),
            (["--to", "parquet"], "must be given with -o FILE"),
            (["--format", "json"], "must be given with -o FILE"),
        ],
    )
    @pytest.mark.usefixtures("study")
    def test_what_does_not_go_together(self, hpo, words, message):
        """
        Options that contradict each other are a matter of usage.
        """
        assert message in hpo("export", "net", *words, code=2).stderr

    @pytest.mark.parametrize("url", ["nothing://here", "sqlite:////no/such/folder/x.db"])
    @pytest.mark.usefixtures("study")
    def test_nowhere(self, hpo, url):
        """
        A storage that cannot be used is an error in a line.
        """
        result = hpo("export", "net", "--to", "optuna", url, code=1)

        assert result.stderr.startswith("Optuna's storage cannot be")
        assert "Traceback" not in result.stderr

    @pytest.mark.usefixtures("study")
    def test_parquet(self, hpo):
        """
        Columns have types: whole numbers, numbers, text and moments.
        """
        pq = pytest.importorskip("pyarrow.parquet")
        hpo("export", "net", "--to", "parquet", "-o", "net.parquet")

        table = pq.read_table("net.parquet")
        types = {field.name: str(field.type) for field in table.schema}
        assert types["number"] == "int64"
        assert types["value.acc"] == "double"
        assert types["parameter.model"] == "string"
        assert types["started"] == "timestamp[us, tz=UTC]"
        assert table.column("started")[0].as_py() == datetime.fromtimestamp(1000, timezone.utc)
        assert table.column("value.acc").to_pylist() == [
            *(0.0, None, None, None),
            *(0.4, 0.5, 0.6, None),
        ]


class TestImportOptuna:
    """
    ``hpo import`` of a study of Optuna's.
    """

    def test_round_trip(self, hpo, study):
        """
        What was exported comes back: trials, states, values, times, measurements, conditions.
        """
        hpo("export", "net", "--to", "optuna", "sqlite:///optuna.db")

        result = hpo.json("import", "sqlite:///optuna.db", "--as", "back", "-o", "back.yaml")
        assert result == {
            "study": "back",
            "from": "Optuna",
            "trials": 7,
            "left_out": {"waiting": 1},
        }
        back = Study.load(open_storage(), "back")
        ours = study.record(measurements=True).trials[:7]
        theirs = back.record(measurements=True).trials
        for mine, other in zip(ours, theirs, strict=True):
            assert other.configuration == mine.configuration
            assert (other.state, other.values, other.reason) == (
                mine.state,
                mine.values,
                mine.reason,
            )
            assert (other.started, other.finished) == (mine.started, mine.finished)
            assert other.failure == mine.failure
            assert [each.metrics["acc"] for each in other.measurements] == pytest.approx(
                [each.metrics["acc"] for each in mine.measurements]
            )
        by_name = back.blueprint.space.by_name
        assert by_name["lr"].when == {"model": ("net",)}
        assert by_name["depth"].distribution.step == 2
        assert back.best().number == study.best().number
        hpo("check", "back.yaml")

    def test_it_goes_on_with_a_command(self, hpo):
        """
        The blueprint that was written, given a command, continues the study.
        """
        study = optuna.create_study(storage="sqlite:///theirs.db", study_name="sphere")
        study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=5)
        hpo("import", "sqlite:///theirs.db", "-o", "sphere.yaml")
        text = Path("sphere.yaml").read_text()
        command = next(line for line in text.splitlines() if "command:" in line)
        text = text.replace(command, """  command: echo '{{"value":' {x} '}}'""")
        Path("sphere.yaml").write_text(text)

        summary = hpo.json("run", "sphere.yaml", "--trials", "8")

        assert summary["study"] == "sphere"
        assert summary["states"] == {"complete": 8}

    def test_odd_names_and_values(self, hpo):
        """
        Names that cannot be ours are changed; several objectives, missing names, dynamic bounds.
        """
        study = optuna.create_study(
            storage="sqlite:///odd.db", study_name="a b", directions=["minimize", "maximize"]
        )

        def objective(trial):
            x = trial.suggest_float("x 1", 0, 1 + trial.number)
            trial.suggest_categorical("c", [None, True, "a", 1.5])
            trial.set_user_attr("note", {"deep": [1, 2]})
            if trial.number == 2:
                raise ValueError("broken")
            return x, 1.0

        study.optimize(objective, n_trials=4, catch=(ValueError,))
        hpo("import", "sqlite:///odd.db", "--as", "odd")

        odd = Study.load(open_storage(), "odd")
        trials = odd.record().trials
        assert [each.metric for each in odd.blueprint.objectives] == ["value_0", "value_1"]
        assert odd.blueprint.space.by_name["x_1"].distribution.high == 4
        assert trials[2].state is TrialState.FAILED
        assert trials[0].metrics["note"] == {"deep": [1, 2]}
        assert trials[0].configuration["x_1"] == study.trials[0].params["x 1"]

    @pytest.mark.usefixtures("study")
    def test_again(self, hpo):
        """
        Importing twice is importing once; into a study with trials of its own it is refused.
        """
        hpo("export", "net", "--to", "optuna", "o.journal")
        hpo("import", "o.journal", "--as", "back")
        before = open_storage().load("back")
        hpo("import", "o.journal", "--as", "back")

        assert open_storage().load("back") == before
        result = hpo("import", "o.journal", code=1)
        assert "there is a study called 'net', and trials of its own" in result.stderr

    def test_which_study(self, hpo):
        """
        Of several studies one must be chosen, by a name that is there.
        """
        for name in ("one", "two"):
            optuna.create_study(storage="sqlite:///many.db", study_name=name)

        result = hpo("import", "sqlite:///many.db", code=1)
        assert "--name NAME; there are: one, two" in result.stderr
        result = hpo("import", "sqlite:///many.db", "--name", "tow", code=1)
        assert "did you mean 'two'?" in result.stderr
        result = hpo("import", "sqlite:///many.db", "--name", "two", code=1)
        assert "'two' has no trial that has ended" in result.stderr
        result = hpo("import", "nowhere.journal", code=2)
        assert "nowhere.journal must be a URL such as" in result.stderr


class Trap:
    """
    What runs a program when it is read.
    """

    def __reduce__(self):
        """
        Return the program.
        """
        return (Path.touch, (Path("sprung"),))


class TestImportHyperopt:
    """
    ``hpo import`` of HyperOpt's Trials.
    """

    @pytest.fixture(autouse=True)
    def _trials(self, hpo):  # noqa: ARG002 - in its folder
        """
        Trials of a search with a condition, a failure, and one that never ran.
        """
        from hyperopt import STATUS_FAIL, STATUS_OK, Trials, fmin, hp, rand

        def objective(configuration):
            if configuration["model"] == "bad":
                return {"status": STATUS_FAIL}
            x = configuration["x"]
            return {"loss": x * x, "status": STATUS_OK, "size": np.float32(2)}

        self.trials = Trials()
        options = ["bad", "tree", {"depth": hp.quniform("depth", 1, 9, 2)}]
        space = {"x": hp.uniform("x", -1, 1), "model": hp.choice("model", options)}
        fmin(
            objective,
            space,
            algo=rand.suggest,
            max_evals=12,
            trials=self.trials,
            rstate=np.random.default_rng(3),
            show_progressbar=False,
        )
        Path("trials.pkl").write_bytes(pickle.dumps(self.trials))

    def test_a_pickle_is_not_read_unless_it_is_trusted(self, hpo):
        """
        Without the flag nothing of the file runs; the message says the danger.
        """
        Path("trap.pkl").write_bytes(pickle.dumps(Trap()))

        result = hpo("import", "trap.pkl", code=2)
        assert "reading it runs whatever program its author put into it" in result.stderr
        assert "--trust-pickle" in result.stderr
        assert not Path("sprung").exists()
        result = hpo("import", "trap.pkl", "--trust-pickle", code=1)
        assert "trap.pkl must hold HyperOpt's Trials" in result.stderr

    def test_trials(self, hpo):
        """
        Losses, failures, conditions and other results are there.
        """
        hpo("import", "trials.pkl", "--trust-pickle", "--as", "theirs")

        study = Study.load(open_storage(), "theirs")
        trials = study.record().trials
        assert len(trials) == 12
        for mine, document in zip(trials, self.trials.trials, strict=True):
            loss = document["result"].get("loss")
            assert mine.values == (None if loss is None else (loss,))
            assert (mine.state is TrialState.FAILED) == (loss is None)
        assert study.blueprint.space.by_name["depth"].when == {"model": (2,)}
        assert study.best().values[0] == self.trials.best_trial["result"]["loss"]
        assert study.best().metrics["size"] == 2.0

    def test_a_blueprint_says_what_choices_mean(self, hpo):
        """
        HyperOpt keeps the place of an option; with a blueprint it is the option.
        """
        Path("theirs.yaml").write_text(
            "hpo: 1\nname: theirs\nobjective: {metric: loss, direction: minimize}\n"
            "space:\n  x: {float: [-1, 1]}\n  model: {choice: [bad, tree, deep]}\n"
            "  depth: {float: [0, 10], when: {model: deep}}\n"
            "budget: {trials: 20}\ntrial: {command: echo}\n"
        )
        hpo("import", "trials.pkl", "--trust-pickle", "--blueprint", "theirs.yaml")

        study = Study.load(open_storage(), "trials")
        for trial in study.record().trials:
            assert not list(study.blueprint.space.problems(trial.configuration))

    def test_other_objectives_are_refused(self, hpo):
        """
        A blueprint that goes the other way is not one of these trials.
        """
        result = hpo(
            *("import", "trials.pkl", "--trust-pickle", "--blueprint", "digits.yaml"), code=1
        )

        assert "must go where the imported ones go (minimize), got maximize" in result.stderr
