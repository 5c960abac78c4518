"""
``hpo init``: blueprints to start from.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_hpo.blueprint import load_blueprint


class TestInit:
    """
    ``hpo init``.
    """

    def test_defaults(self, hpo):
        """
        Without flags and without a terminal there is a whole blueprint, named like its file.
        """
        hpo("init", "my model.yaml")

        blueprint = load_blueprint("my model.yaml")
        assert blueprint.name == "my-model"
        assert [each.name for each in blueprint.space.tunable] == [
            "learning_rate",
            "hidden",
            "optimizer",
        ]
        assert hpo("check", "my model.yaml").exit_code == 0

    def test_flags(self, hpo):
        """
        Ranges, steps, logarithms, choices, metrics and budgets are what was said.
        """
        words = [
            "--param",
            "lr=1e-5..0.1:log",
            "--param",
            "h=16..128:16",
            "--param",
            "o=a,b c,2,true",
        ]
        words += ["--metric", "val_loss", "--trials", "7", "--parallel", "3", "--name", "net"]
        assert hpo.json("init", "x.yaml", *words) == {"file": "x.yaml", "name": "net"}

        blueprint = load_blueprint("x.yaml")
        by_name = blueprint.space.by_name
        assert by_name["lr"].distribution.model_dump() == {
            "kind": "float",
            "low": 1e-5,
            "high": 0.1,
            "step": None,
            "log": True,
            "anchor": "low",
        }
        assert (by_name["h"].distribution.low, by_name["h"].distribution.step) == (16, 16)
        assert by_name["o"].distribution.choices == ("a", "b c", 2, True)
        assert blueprint.objectives[0].direction == "minimize"
        assert (blueprint.budget.trials, blueprint.execution.batch_size) == (7, 3)

    def test_paths_are_choices(self, hpo):
        """
        What has commas is a choice, though dots stand in it.
        """
        hpo("init", "x.yaml", "--param", "data=../small,../large")

        (data,) = load_blueprint("x.yaml").space.tunable
        assert data.distribution.choices == ("../small", "../large")

    def test_several_objectives_and_a_resource(self, hpo):
        """
        Two metrics make a Pareto search, a resource an asynchronous halving.
        """
        hpo("init", "two.yaml", "--metric", "loss", "--metric", "size:minimize")
        hpo("init", "steps.yaml", "--resource", "epochs=1..81")

        assert load_blueprint("two.yaml").strategy.name == "nsga2"
        steps = load_blueprint("steps.yaml")
        assert (steps.strategy.name, steps.resource.max) == ("asha", 81)
        assert "{epochs}" in steps.trial.steps[0].command
        hpo("plan", "steps.yaml")

    def test_questions(self, hpo):
        """
        Asked, it takes answers, and the default where there is none.
        """
        answers = ["", "f1:maximize", "c=0.1..10.0:log", "kernel=rbf,poly", "", "", "9", "2", ""]
        hpo("init", "svm.yaml", "--ask", input="\n".join(answers) + "\n")

        blueprint = load_blueprint("svm.yaml")
        assert (blueprint.name, blueprint.objectives[0].metric) == ("svm", "f1")
        assert list(blueprint.space.by_name) == ["c", "kernel"]
        assert blueprint.budget.trials == 9
        assert blueprint.trial.steps[0].command == "python train.py --c {c} --kernel {kernel}"

    def test_it_runs(self, hpo):
        """
        With a command that prints the metric, what was written runs as it is.
        """
        command = """echo '{{"y":' {x} '}}'"""
        words = ["--metric", "y:minimize", "--param", "x=0.0..1.0", "--command", command]
        hpo("init", "run.yaml", *words, "--trials", "3")

        assert hpo.json("run", "run.yaml", "--quiet")["states"] == {"complete": 3}

    def test_nothing_is_written_over(self, hpo):
        """
        A file that is there stays, unless that is wanted.
        """
        Path("x.yaml").write_text("mine")

        assert "--force writes over it" in hpo("init", "x.yaml", code=2).stderr
        assert Path("x.yaml").read_text() == "mine"
        hpo("init", "x.yaml", "--force")
        assert load_blueprint("x.yaml").name == "x"

    def test_standard_output(self, hpo):
        """
        A dash writes to standard output, for pipes.
        """
        text = hpo("init", "-").stdout

        assert hpo("check", "-", input=text).exit_code == 0

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--param", "x"], "--param must be NAME=LOW..HIGH or NAME=A,B,C, got 'x'"),
            (["--param", "x=1..a"], "the ends of a range must be numbers, got '1..a'"),
            (["--param", "x=1..2:lin"], "behind a range come log or a step, got 'lin'"),
            (["--param", "x=-1..1:log"], "low"),
            (["--metric", "y:up"], "--metric must be NAME:minimize or NAME:maximize"),
            (["--resource", "epochs=a,b"], "--resource must be NAME=MIN..MAX"),
            (["--resource", "e=1..9", "--metric", "a", "--metric", "b"], "one --metric"),
            (["--command", "python {nothing}"], "nothing"),
        ],
    )
    def test_mistakes(self, hpo, words, message):
        """
        What makes no blueprint is said, and nothing is written.
        """
        result = hpo("init", "x.yaml", *words, code=2)

        assert message in result.stderr
        assert not Path("x.yaml").exists()


class TestCompare:
    """
    ``hpo compare``.
    """

    @pytest.fixture(autouse=True)
    def _studies(self, hpo):
        """
        Two studies of one objective, one of which found more.
        """
        hpo("run", "digits.yaml", "--quiet")
        hpo("run", "digits.yaml", "--quiet", "--study", "other", "--seed", "5", "--trials", "3")

    def test_which_is_best(self, hpo):
        """
        The best and how far the others are behind are found of the trials.
        """
        found = hpo.json("compare", "digits", "other")

        bests = {
            name: max(trial.values[0] for trial in hpo.trials(name)) for name in ("digits", "other")
        }
        assert found["best"] == max(bests, key=bests.get)
        gap = max(bests.values()) - min(bests.values())
        assert sorted(found["behind"].values()) == pytest.approx([0, gap])
        level = min(bests.values())
        for name in bests:
            first = next(trial for trial in hpo.trials(name) if trial.values[0] >= level)
            assert found["trials_to_level"][name] == first.number + 1
        assert [each["trials"] for each in found["studies"]] == [4, 3]

    def test_table(self, hpo):
        """
        People see a column a study, and who won.
        """
        text = hpo("compare", "digits", "other").stdout

        assert "digits" in text.splitlines()[0]
        assert "other" in text.splitlines()[0]
        assert "best: " in text
        assert "maximize y" in text

    def test_other_objectives_have_no_best(self, hpo):
        """
        Studies that optimise different things are shown, and none is called the best.
        """
        text = Path("digits.yaml").read_text().replace("maximize", "minimize")
        Path("down.yaml").write_text(text)
        hpo("run", "down.yaml", "--quiet", "--study", "down")

        found = hpo.json("compare", "digits", "down")
        assert found["best"] is None
        assert json.dumps(found)

    def test_mistakes(self, hpo):
        """
        One study is no comparison, and every study has to be there.
        """
        assert "two or more different" in hpo("compare", "digits", "digits", code=2).stderr
        assert "no study is called 'digit'" in hpo("compare", "digits", "digit", code=1).stderr
