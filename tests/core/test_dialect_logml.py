"""
The dialect of Log(ML): every expression, the same trials as its own search, its trials.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from airflow_hpo.blueprint import check_text, dump, load_blueprint, parse_blueprints
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.blueprint.template import Template
from airflow_hpo.metrics import create_collector
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int, LogNormal, Normal
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.strategies import strategy_for
from airflow_hpo.testing.damage import changed_files, check_told, odd_values

FOLDER = Path(__file__).parent.parent / "blueprints"
GOOD = sorted((FOLDER / "good" / "logml").glob("*.yaml"))
DATA = [read_document(path.read_bytes()).data for path in GOOD]

# Files of the tool's own repository, where somebody has put them.
THEIRS = Path(__file__).parents[3] / "shared" / "data" / "logml"


def read(text):
    """
    Return the only blueprint in *text*.
    """
    (blueprint,) = parse_blueprints(text)
    return blueprint


def config(*parameters, search="max_evals: 10", rest=""):
    """
    Return a config that searches *parameters* of one step.
    """
    lines = "".join(f"      {line}\n" for line in parameters)
    return (
        f"hyper_parameter_optimization:\n  {search}\n  space:\n    model_train:\n{lines}{rest}\n"
        'airflow_hpo: {name: digits, command: "python train.py"}\n'
    )


def messages(text):
    """
    Return what is said about *text*, without hints.
    """
    return [(problem.path, problem.message) for problem in check_text(text)]


class TestExpressions:
    """
    Each of HyperOpt's expressions means here what it means there.
    """

    @pytest.mark.parametrize(
        ("expression", "distribution"),
        [
            ("[uniform, -5, 5]", Float(low=-5, high=5)),
            ("[quniform, 1, 10, 0.7]", Float(low=1, high=10, step=0.7, anchor="zero")),
            ("[loguniform, -5, 0]", Float(low=math.exp(-5), high=1, log=True)),
            (
                "[qloguniform, 0, 3, 2]",
                Float(low=1, high=math.exp(3), step=2, log=True, anchor="zero"),
            ),
            ("[uniformint, 1, 9]", Int(low=1, high=9)),
            ("[randint, 10]", Int(low=0, high=9)),
            ("[randint, 5, 15]", Int(low=5, high=14)),
            ("[randint, 1]", Int(low=0, high=0)),
            ("[normal, 5, 2]", Normal(mean=5, deviation=2)),
            ("[qnormal, 0, 3, 0.5]", Normal(mean=0, deviation=3, step=0.5)),
            ("[lognormal, 1, 2]", LogNormal(mean=1, deviation=2)),
            ("[qlognormal, 1, 2, 3]", LogNormal(mean=1, deviation=2, step=3)),
            ("[choice, [a, 1, 1.0, null, true, [1, 2]]]", None),
            (
                "[pchoice, [[0.3, u], [0.7, v]]]",
                Categorical(choices=("u", "v"), weights=(0.3, 0.7)),
            ),
        ],
    )
    def test_meaning(self, expression, distribution):
        """
        Bounds, steps and options are those of HyperOpt, logarithms natural.
        """
        if distribution is None:
            distribution = Categorical(choices=("a", 1, 1.0, None, True, [1, 2]))

        (parameter,) = read(config(f"x: {expression}")).space.parameters

        assert parameter.name == "model_train.x"
        assert parameter.distribution == distribution

    def test_block_lists(self):
        """
        A list may be written item by item.
        """
        text = config("x:", "  - choice", "  - ['ball_tree', 'kd_tree']")

        (parameter,) = read(text).space.parameters

        assert parameter.distribution == Categorical(choices=("ball_tree", "kd_tree"))

    def test_no_code_is_run(self, tmp_path):
        """
        A text that is no expression is refused, whatever Python would make of it.
        """
        target = tmp_path / "made"

        found = messages(config(f'x: ["uniform(0,1) or open({str(target)!r}, chr(119))", 1]'))

        assert any("must be one of uniform" in message for _, message in found)
        assert not target.exists()


class TestSearch:
    """
    What the section says about the study.
    """

    @pytest.mark.parametrize(
        ("search", "name", "seed", "trials"),
        [
            ("{algorithm: tpe, max_evals: 7}", "hyperopt_tpe", None, 7),
            ("{algorithm: random, max_evals: 7, random_seed: 3}", "hyperopt_random", 3, 7),
            ("{max_evals: 7, random_seed: null}", "hyperopt_tpe", None, 7),
            ("{}", "hyperopt_tpe", None, 100),
        ],
    )
    def test_algorithm(self, search, name, seed, trials):
        """
        Algorithm, seed and budget are taken over; trials run one at a time.
        """
        keys = search[1:-1].replace(", ", "\n  ")
        blueprint = read(config("x: [uniform, 0, 1]", search=keys))

        assert (blueprint.strategy.name, blueprint.strategy.seed) == (name, seed)
        assert blueprint.budget.trials == trials
        assert blueprint.execution.batch_size == 1
        (objective,) = blueprint.objectives
        assert (objective.metric, objective.direction) == ("loss", "minimize")

    def test_no_search_makes_no_study(self):
        """
        A search that is switched off makes none, and a warning says so.
        """
        text = config("x: [uniform, 0, 1]", search="enable: false\n  max_evals: 10")
        problems = []

        assert parse_blueprints(text, problems=problems) == ()
        (problem,) = problems
        assert problem.severity == "warning"
        assert problem.path == "hyper_parameter_optimization.enable"
        assert "no study" in problem.message

    def test_section_as_the_manual_shows_it(self):
        """
        The manual's outline of the section, all steps empty and switched off, is fine.
        """
        text = """
        hyper_parameter_optimization:
            enable: False
            algorithm: 'tpe'
            max_evals: 100
            space:
                dataset_augment:
                dataset_create:
                dataset_preprocess:
                model_create:
                model_train:
        """

        assert [item.severity for item in check_text(text)] == ["warning"] * 2
        text = text.replace("False", "True")
        assert "must have a parameter to search" in messages(text)[-1][1]

    @pytest.mark.parametrize(
        "space",
        [
            "{model_train: {learning_rate: ['uniform', 0.0, 0.5]}}",
            """{model_create: {layer_1: ['randint', 10]},
                model_train: {learning_rate: ['uniform', 0.0, 0.5]}}""",
            """{dataset_preprocess: {num_x: ['choice', [100, 200, 300, 400, 500]],
                                    num_y: ['choice', [20, 50, 100, 200]]},
                model_create: {layer_1: ['randint', 20], layer_2: ['randint', 10]},
                model_train: {learning_rate: ['uniform', 0.0, 0.5]}}""",
        ],
    )
    def test_a_section_alone_is_a_study(self, space):
        """
        Without anything else in the file Log(ML)'s own program is run, with a warning.
        """
        problems = []
        text = f"hyper_parameter_optimization: {{max_evals: 9, algorithm: tpe, space: {space}}}"

        (blueprint,) = parse_blueprints(text, problems=problems)

        assert blueprint.name == "logml"
        assert len(blueprint.space.tunable) == space.count("['")
        assert [problem.severity for problem in problems] == ["warning"]
        assert "logml.py -d" in blueprint.trial.steps[0].command

    @pytest.mark.parametrize(
        ("model", "file", "name"),
        [
            ("model: {model_name: 'my model'}", "x.yaml", "my_model"),
            ("model: {model_name: '%%'}", "dir/the file.yaml", "the_file"),
            ("model: {model_name: 5}", "x.yaml", "x"),
            ("model:", "<blueprint>", "logml"),
        ],
    )
    def test_name(self, model, file, name):
        """
        A study is called as its model is, else as its file.
        """
        text = config("x: [uniform, 0, 1]", rest=model).replace("name: digits, ", "")

        (blueprint,) = parse_blueprints(text, file=file)

        assert blueprint.name == name

    def test_problems_of_values_stand_where_they_are(self):
        """
        A value that is refused is shown at its own line and column.
        """
        (problem,) = check_text(config("x: [uniform, 0, 1]", "y: [quniform, 0, 1, -1]"))

        assert (problem.line, problem.column) == (6, 27)
        assert problem.path == "hyper_parameter_optimization.space.model_train.y.3"


class TestParameters:
    """
    What is searched lies over what ``functions`` fixes.
    """

    def test_fixed_ones_are_constants(self):
        """
        Values of functions that are not searched are constants, under the step's name.
        """
        blueprint = load_blueprint(FOLDER / "good" / "logml" / "whole_config.yaml")

        constants = {
            item.name: item.distribution.value
            for item in blueprint.space.parameters
            if isinstance(item.distribution, Constant)
        }

        assert [item.name for item in blueprint.space.tunable] == [
            "dataset_create.num_samples",
            "model_train.learning_rate",
            "model_train.epochs",
        ]
        assert constants == {
            "dataset_create.note": "yes, {braces} and 'quotes' \U0001f600",
            "dataset_split.split_validate": 0.2,
            "dataset_split.split_test": 0.0,
            "model_create.layers": [64, 32],
            "model_create.tiny": 1e-7,
        }

    def test_one_name_in_two_steps(self):
        """
        A name may stand in several steps; HyperOpt then knows both by their full names.
        """
        blueprint = load_blueprint(FOLDER / "good" / "logml" / "own_section.yaml")

        assert blueprint.strategy.options["labels"] == {"model_train.lr": "lr"}
        (suggestion,) = strategy_for(blueprint).suggest(blueprint.space, (), 1, seed=1)
        assert suggestion.configuration.keys() == {
            "dataset_split.split_validate",
            "model_train.lr",
            "model_train.split_validate",
        }


def loss_of(configuration):
    """
    Return a loss to which every value adds.
    """
    return sum(
        math.sin(len(name) + (value if isinstance(value, (int, float)) else len(repr(value))))
        for name, value in sorted(configuration.items())
    )


def typed(configuration):
    """
    Return *configuration* so that ``1`` and ``1.0`` differ.
    """
    return {name: (type(value), value) for name, value in configuration.items()}


def by_logml(data, *, trials, seed):
    """
    Return all configurations that Log(ML) has HyperOpt try, by ``STEP.NAME``.
    """
    import hyperopt
    import numpy as np

    section = data["hyper_parameter_optimization"]
    space = {
        f"{step}.{name}": getattr(hyperopt.hp, value[0])(name, *value[1:])
        for step, names in section["space"].items()
        for name, value in (names or {}).items()
    }
    tried = []

    def objective(values):
        found = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }
        tried.append(found)
        return loss_of(found)

    suggest = {"tpe": hyperopt.tpe.suggest, "random": hyperopt.rand.suggest}
    hyperopt.fmin(
        objective,
        space,
        algo=suggest[section["algorithm"]],
        max_evals=trials,
        rstate=np.random.default_rng(seed),
        show_progressbar=False,
        verbose=False,
    )
    return tried


def by_study(blueprint, *, trials, seed):
    """
    Return what a study of *blueprint* tries, without constants.
    """
    strategy, history = strategy_for(blueprint), []
    names = {item.name for item in blueprint.space.tunable}
    for number in range(trials):
        (suggestion,) = strategy.suggest(blueprint.space, tuple(history), 1, seed=seed)
        values = {key: suggestion.configuration[key] for key in names}
        trial = Trial(
            number,
            suggestion.configuration,
            TrialState.COMPLETE,
            sampler=suggestion.sampler,
            values=(loss_of(values),),
        )
        history.append(trial)
    return [{key: trial.configuration[key] for key in names} for trial in history]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
class TestSameTrials:
    """
    A study tries what Log(ML)'s own search would have tried.
    """

    @pytest.mark.parametrize("seed", [0, 20190711])
    @pytest.mark.parametrize(
        "name", ["rate", "two_steps", "preprocess", "expressions", "whole_config"]
    )
    def test_value_by_value(self, name, seed):
        """
        With the same seed and losses all values are equal, types included.
        """
        path = FOLDER / "good" / "logml" / f"{name}.yaml"
        data = read_document(path.read_bytes()).data
        trials = 26 if name == "expressions" else 24

        expected = by_logml(data, trials=trials, seed=seed)
        found = by_study(load_blueprint(path), trials=trials, seed=seed)

        assert [typed(item) for item in found] == [typed(item) for item in expected]


PROGRAM = """
import sys, yaml
config = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
print("config", repr(config))
rate = config["functions"]["model_train"]["learning_rate"]
assert isinstance(rate, float), rate
print("2020-01-01 INFO: Model evaluate train returned: '7.0'")
print(f"2020-01-01 INFO: Model evaluate validate returned: '{rate}'")
print("2020-01-01 INFO: Model evaluate test returned: '8.0'")
"""


def run_trial(blueprint, folder, configuration):
    """
    Run the command of a trial as a runner would; return its output's lines.
    """
    (folder / "params.json").write_text(json.dumps(configuration))
    done = subprocess.run(
        ["sh", "-c", Template.parse(blueprint.trial.steps[0].command).render(configuration)],
        env={
            **os.environ,
            **blueprint.trial.environment,
            "HPO_OUTPUT_DIR": str(folder),
            "HPO_PARAMS_FILE": str(folder / "params.json"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


class TestTrial:
    """
    A trial is Log(ML) with a config of its own.
    """

    def blueprint(self, folder, name="whole_config"):
        """
        Return a good file's blueprint that runs our program.
        """
        (folder / "program.py").write_text(PROGRAM)
        text = (FOLDER / "good" / "logml" / f"{name}.yaml").read_text("utf-8")
        return read(
            text.replace(
                'python train.py -v -c "$LOGML_CONFIG"', 'python program.py "$LOGML_CONFIG"'
            )
        )

    def test_config(self, tmp_path):
        """
        The config has the trial's values over the fixed ones, and no search.
        """
        blueprint = self.blueprint(tmp_path)
        (suggestion,) = strategy_for(blueprint).suggest(blueprint.space, (), 1, seed=1)
        values = {**suggestion.configuration, "model_train.learning_rate": 1e-05}

        run_trial(blueprint, tmp_path, values)

        written = yaml.safe_load((tmp_path / "logml.yaml").read_text("utf-8"))
        expected = yaml.safe_load(blueprint.source.text)
        del expected["airflow_hpo"]
        expected["hyper_parameter_optimization"] = {"enable": False}
        # The dataset's parameters are searched, so none is kept for others.
        expected["dataset"] |= {"do_not_load_pickle": True, "do_not_save": True}
        functions = expected["functions"]
        functions |= {name: {} for name, value in functions.items() if value is None}
        functions["dataset_create"]["num_samples"] = values["dataset_create.num_samples"]
        functions["model_train"] = {
            "epochs": values["model_train.epochs"],
            "learning_rate": 1e-05,
        }
        assert written == expected

    def test_datasets_are_shared_where_they_are_not_searched(self, tmp_path):
        """
        Where only the model is searched, datasets are loaded and saved as the file says.
        """
        blueprint = self.blueprint(tmp_path, "two_steps")

        run_trial(
            blueprint, tmp_path, {"model_create.layer_1": 3, "model_train.learning_rate": 0.5}
        )

        written = yaml.safe_load((tmp_path / "logml.yaml").read_text())
        assert written == {
            "hyper_parameter_optimization": {"enable": False},
            "functions": {"model_create": {"layer_1": 3}, "model_train": {"learning_rate": 0.5}},
        }

    @pytest.mark.parametrize(
        ("line", "loss"),
        [
            ("INFO: Model evaluate validate returned: '0.25'", 0.25),
            ("DEBUG: Model evaluate validate (default): Loss = -1.5e-07", -1.5e-07),
        ],
    )
    def test_loss(self, line, loss):
        """
        The loss is read from what Log(ML) logs of the validation data alone.
        """
        spec = load_blueprint(GOOD[0]).trial.metrics
        lines = [line.replace("validate", "train").replace("5", "6"), line, "Model evaluate test"]

        found = create_collector(spec).feed(lines, 0.0)

        assert [dict(item.metrics) for item in found] == [{"loss": loss}]

    def test_values_of_any_kind_arrive(self, tmp_path):
        """
        Numbers, text and lists are read by Log(ML)'s YAML as what they are.
        """
        values = [1e-05, 1e20, 1.5e-07, -0.0, 3, True, None, "yes", "1e3", "2020-01-01", "", "a: b"]
        values += ["\u2028\U0001f600\\'\"{}$(x)`\n\t", [1e16, {"a": 1e-9, "é": []}], "~", "#"]
        data = json.loads(json.dumps(DATA[0]))
        data["functions"] = {"model_train": {"fixed": values}}
        blueprint = read(json.dumps(data).replace("python train.py", "true"))
        given = {f"model_train.p{place}": value for place, value in enumerate([*values, "\x7f"])}

        run_trial(blueprint, tmp_path, given)

        written = yaml.safe_load((tmp_path / "logml.yaml").read_text("utf-8"))
        found = written["functions"]["model_train"]
        assert repr(found.pop("fixed")) == repr(values)
        assert repr(list(found.values())) == repr(list(given.values()))

    def test_a_config_that_cannot_be_written_fails_the_trial(self, tmp_path):
        """
        Where the config is not written, the program is not run.
        """
        blueprint = self.blueprint(tmp_path)
        blueprint.trial.environment["LOGML_BASE"] = "{"

        with pytest.raises(subprocess.CalledProcessError) as caught:
            run_trial(blueprint, tmp_path, {})
        assert "config" not in caught.value.stdout

    def test_a_large_config_is_refused(self):
        """
        What does not fit into a variable is refused where it is read.
        """
        text = config("x: [uniform, 0, 1]", rest=f"notes: {'x' * 120_000}")

        assert any("must have at most 120000 characters" in found[1] for found in messages(text))


def test_a_whole_study(hpo, tmp_path, monkeypatch):
    """
    A study runs Log(ML)'s program with each trial's config and finds the least loss.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_PYTHON", sys.executable)
    Path("program.py").write_text(PROGRAM)
    text = (FOLDER / "good" / "logml" / "two_steps.yaml").read_text()
    text = text.replace("python train.py -v -c", 'env "$A_PYTHON" program.py')
    Path("config.yaml").write_text(text.replace("max_evals: 100", "max_evals: 3"))

    summary = hpo.json("run", "config.yaml")

    assert summary["states"] == {"complete": 3}
    rate = summary["best"]["parameters"]["model_train.learning_rate"]
    assert summary["best"]["values"] == {"loss": rate}


def test_an_infinite_loss_is_no_feasible_trial(hpo, tmp_path, monkeypatch):
    """
    What Log(ML) gives for a training that raised makes its trial infeasible.
    """
    monkeypatch.chdir(tmp_path)
    text = (FOLDER / "good" / "logml" / "rate.yaml").read_text().replace(": 100", ": 1")
    command = "echo \"INFO Model evaluate validate returned: 'inf'\""
    text = text.replace('python train.py -v -c "$LOGML_CONFIG"', f"|\n      {command}")
    Path("config.yaml").write_text(text)

    summary = json.loads(hpo("run", "config.yaml", "--format", "json", code=1).stdout)

    assert summary["states"] == {"infeasible": 1}


def test_the_example_of_the_manual():
    """
    The example in the manual is read, and nothing is said about it.
    """
    page = (Path(__file__).parents[2] / "docs" / "logml.md").read_text("utf-8")
    example, *_ = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    assert check_text(example) == ()
    assert read(example).name == "digits"


@pytest.mark.skipif(not THEIRS.is_dir(), reason="their files are not here")
def test_their_files():
    """
    Each of the tool's own configs is read, or refused for what is not supported yet.
    """
    refusals = ("got !include", "is not supported yet")
    for path in sorted(THEIRS.rglob("*.yaml")):
        text = path.read_bytes()
        if b"hyper_parameter_optimization" not in text:
            continue
        problems = [item for item in check_text(text) if item.severity == "error"]
        assert all(any(why in item.message for why in refusals) for item in problems), path
        if not problems:
            for blueprint in parse_blueprints(text):
                (again,) = parse_blueprints(dump(blueprint))
                assert again.space == blueprint.space


ODD = odd_values("uniform", "randint", "choice", "hp.uniform", "enable")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=changed_files(DATA, ODD))
def test_changed_structure(text):
    """
    A good config with one odd value is read or refused at a place in it; nothing else.
    """
    check_told(text)
