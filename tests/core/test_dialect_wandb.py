"""
The dialect of W&B: every distribution, commands word by word, brackets, a sweep that runs.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text, load_blueprint, parse_blueprints
from airflow_hpo.blueprint.commands import parse_command
from airflow_hpo.blueprint.dialects.wandb.keys import FILE
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int, LogNormal, Normal
from airflow_hpo.model.objective import Objective

FOLDER = Path(__file__).parent.parent / "blueprints"
GOOD = sorted((FOLDER / "good" / "wandb").glob("*.yaml"))

# Others' examples, where somebody has put them.
THEIRS = sorted((Path(__file__).parents[3] / "shared" / "data" / "peers").glob("wandb_*.yaml"))


def sweep(parameters, **more):
    """
    Return a file that searches *parameters*.
    """
    data = {
        "program": "train.py",
        "method": "random",
        "metric": {"name": "loss"},
        "run_cap": 5,
        "parameters": parameters,
        **more,
    }
    return json.dumps(data)


def read(parameters, **more):
    """
    Return the blueprint of such a file.
    """
    (blueprint,) = parse_blueprints(sweep(parameters, **more))
    return blueprint


def words(blueprint, values, **environment):
    """
    Return the words that a shell makes of the command.
    """
    line = parse_command(blueprint.trial.steps[0]).render(values)
    head, _, command = line.rpartition("&&\n")
    script = f"{head}{'&&' if head else ''} printf '%s\\0' {command}"
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], **environment},
    )
    return done.stdout.decode().split("\0")[:-1]


class TestDistributions:
    """
    Each distribution draws what W&B's documentation says.
    """

    @pytest.mark.parametrize(
        ("spec", "distribution"),
        [
            ({"value": [1, 2]}, Constant(value=[1, 2])),
            ({"values": [1]}, Constant(value=1)),
            ({"values": [1, 1.0]}, Categorical(choices=(1, 1.0))),
            (
                {"values": ["a", "b"], "probabilities": [0.25, 0.75]},
                Categorical(choices=("a", "b"), weights=(0.25, 0.75)),
            ),
            ({"values": ["a", "b", "a"]}, Categorical(choices=("a", "b"), weights=(2, 1))),
            ({"min": 1, "max": 4}, Int(low=1, high=4)),
            ({"min": 1, "max": 4.0}, Float(low=1, high=4)),
            ({"min": 2.0, "max": 2.0}, Constant(value=2.0)),
            (
                {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.3},
                Float(low=0, high=1, step=0.3, anchor="zero"),
            ),
            (
                {"distribution": "q_uniform", "min": 10, "max": 23, "q": 4},
                Int(low=8, high=24, step=4),
            ),
            ({"distribution": "q_uniform", "min": 0.4, "max": 3.6}, Int(low=0, high=4)),
            (
                {"distribution": "log_uniform", "min": -2, "max": 3},
                Float(low=math.exp(-2), high=math.exp(3), log=True),
            ),
            (
                {"distribution": "inv_log_uniform", "min": -2, "max": 3},
                Float(low=math.exp(-3), high=math.exp(2), log=True),
            ),
            (
                {"distribution": "inv_log_uniform_values", "min": 0.1, "max": 3},
                Float(low=0.1, high=3, log=True),
            ),
            (
                {"distribution": "q_log_uniform", "min": 2, "max": 5, "q": 8},
                Int(low=8, high=152, step=8, log=True),
            ),
            (
                {"distribution": "q_log_uniform_values", "min": 1, "max": 64, "q": 8},
                Float(low=1, high=64, step=8, log=True, anchor="zero"),
            ),
            ({"distribution": "normal"}, Normal(mean=0, deviation=1)),
            (
                {"distribution": "q_normal", "mu": 3, "sigma": 2, "q": 0.5},
                Normal(mean=3, deviation=2, step=0.5),
            ),
            ({"distribution": "log_normal", "mu": 1}, LogNormal(mean=1, deviation=1)),
            (
                {"distribution": "q_log_normal", "sigma": 0.5},
                LogNormal(mean=0, deviation=0.5, step=1),
            ),
            ({"distribution": "beta"}, Float(low=0, high=1)),
            ({"distribution": "q_beta"}, Int(low=0, high=1)),
        ],
    )
    def test_each(self, spec, distribution):
        """
        What is given becomes what it means; what is not given has W&B's default.
        """
        found = read({"x": spec, "y": {"min": 0, "max": 9}}).space.by_name["x"].distribution

        assert found == distribution

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        unit=st.floats(0, 1),
        low=st.floats(-50, 50),
        width=st.floats(0.5, 50),
        q=st.sampled_from([0.1, 0.25, 1, 3, 8]),
        log=st.booleans(),
    )
    def test_steps_are_multiples(self, unit, low, width, q, log):
        """
        A quantised value is a multiple of q, no farther than half of it from the bounds.
        """
        low = abs(low) + 0.1 if log else low
        kind = "q_log_uniform_values" if log else "q_uniform"
        spec = {"distribution": kind, "min": low, "max": low + width, "q": q}
        value = (
            read({"x": spec, "y": {"min": 0, "max": 9}})
            .space.by_name["x"]
            .distribution.from_unit(unit)
        )

        assert math.isclose(value / q, round(value / q), abs_tol=1e-6)
        assert low - q / 2 - 1e-6 <= value <= low + width + q / 2 + 1e-6


class TestCommand:
    """
    Programs get the words that an agent would give them.
    """

    VALUES = st.one_of(
        st.booleans(),
        st.none(),
        st.integers(-1000, 1000),
        st.floats(-1e6, 1e6),
        st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8),
        st.lists(st.integers() | st.text("ab'\" ", max_size=3), max_size=3),
    )

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        values=st.dictionaries(st.sampled_from(["x", "lr-2", "a.b", "+m/n"]), VALUES, min_size=1)
    )
    def test_arguments_are_pythons_text(self, values):
        """
        Each argument is one word, its value as Python prints it; JSON is JSON.
        """
        macros = ["args", "args_no_hyphens", "args_no_equals", "args_no_boolean_flags", "args_json"]
        blueprint = read(
            {
                **{name: {"value": value} for name, value in values.items()},
                "s": {"min": 1, "max": 3},
            },
            command=[f"${{{macro}}}" for macro in macros],
        )
        values = {**values, "s": 2}
        found = words(blueprint, values)

        flags = [f"--{name}={value}" for name, value in values.items()]
        bare = [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in values.items()
            if value is not False
        ]
        pairs = [word for name, value in values.items() for word in (f"--{name}", str(value))]
        assert found[:-1] == [*flags, *(flag[2:] for flag in flags), *pairs, *bare]
        assert json.loads(found[-1]) == values

    def test_default(self):
        """
        Without a command the program is run by Python with all arguments.
        """
        blueprint = read({"lr": {"min": 0.1, "max": 1}, "amp": {"values": [True, False]}})

        assert words(blueprint, {"lr": 0.5, "amp": True}) == [
            "/usr/bin/env", "python", "train.py", "--lr=0.5", "--amp=True",
        ]  # fmt: skip

    def test_variables_and_text(self):
        """
        Variables are filled in where W&B does it, and nothing else is touched by the shell.
        """
        command = ["${envvar:RUN}/${envvar:HERE}x", "$RUN `id` {x} {{ y }} {%", 5, "${args}"]
        for amp in ([1, 2], [True, False]):
            blueprint = read({"amp": {"values": amp}}, command=command)
            found = words(blueprint, {"amp": amp[0]}, RUN="a b", HERE='"')

            assert found == ['a b/"x', "$RUN `id` {x} {{ y }} {%", "5", f"--amp={amp[0]}"]

    def test_mappings_and_whole_numbers(self, tmp_path):
        """
        What is nested is one argument, rounded numbers are whole; the file of arguments as well.
        """
        blueprint = read(
            {
                "optimizer": {
                    "parameters": {"name": {"value": "sgd"}, "lr": {"values": [0.1, 0.2]}}
                },
                "units": {"distribution": "q_normal", "mu": 64, "sigma": 8, "q": 8},
            },
            command=["${args}", "${args_json_file}"],
        )
        values = {"optimizer.name": "sgd", "optimizer.lr": 0.1, "units": 72.0}
        *found, file = words(blueprint, values, HPO_OUTPUT_DIR=str(tmp_path))

        assert list(blueprint.space.by_name) == list(values)
        assert found == ["--optimizer={'name': 'sgd', 'lr': 0.1}", "--units=72"]
        assert json.loads(Path(file).read_text("utf-8")) == {
            "optimizer": {"name": "sgd", "lr": 0.1},
            "units": 72,
        }

    def test_plain_file_of_arguments(self):
        """
        Where nothing is nested or rounded, the file of parameters is the file of arguments.
        """
        blueprint = read({"lr": {"min": 0.1, "max": 1}}, command=["train", "${args_json_file}"])

        assert words(blueprint, {"lr": 0.5}, HPO_PARAMS_FILE="/p.json") == ["train", "/p.json"]


class TestSearch:
    """
    Methods, brackets, caps.
    """

    @pytest.mark.parametrize(
        ("given", "first", "eta"),
        [
            ({"min_iter": 3}, 3, 3),
            ({"min_iter": 2, "eta": 4}, 2, 4),
            ({"max_iter": 27, "s": 2}, 3, 3),
            ({"max_iter": 27, "s": 9}, 1, 3),
            ({"max_iter": 16, "s": 2, "eta": 2}, 4, 2),
        ],
    )
    def test_brackets(self, given, first, eta):
        """
        Brackets begin where W&B's do, of both ways to say it.
        """
        parameters = {"lr": {"min": 0.1, "max": 1}}
        found = read(parameters, early_terminate={"type": "hyperband", **given}).pruner

        assert found.name == "halving_stop"
        assert found.options == {"min_resource": first, "reduction_factor": eta}

    @pytest.mark.parametrize(("goal", "bound"), [("minimize", "at_most"), ("maximize", "at_least")])
    def test_target_ends_the_study(self, goal, bound):
        """
        A run that is as good as the target, or better, is the last one.
        """
        blueprint = read(
            {"lr": {"min": 0.1, "max": 1}}, metric={"name": "m", "goal": goal, "target": 0.5}
        )

        assert blueprint.objectives == (Objective(metric="m", direction=goal),)
        assert getattr(blueprint.stop[0], bound) == 0.5

    def test_grid_without_a_cap_is_the_whole_grid(self):
        """
        A grid has as many trials as cells.
        """
        parameters = {"a": {"values": [1, 2]}, "b": {"min": 1, "max": 4}, "c": {"value": 3}}

        assert read(parameters, method="grid", run_cap=None).budget.trials == 8

    def test_agents(self):
        """
        One trial at a time, unless our own section or the launch queue says otherwise.
        """
        parameters, own = {"lr": {"min": 0.1, "max": 1}}, {"airflow_hpo": {"concurrency": 4}}

        assert read(parameters).execution.concurrency == 1
        assert read(parameters, scheduler={"num_workers": 3}).execution.concurrency == 3
        assert read(parameters, **own).execution.concurrency == 4
        assert read(parameters, **own).execution.mode == "async"


@pytest.mark.parametrize(
    ("data", "claimed"),
    [
        ({"method": "grid", "parameters": {}}, True),
        ({"program": "train.py", "run_cap": 3}, True),
        ({"hpo": 1, "method": "grid", "parameters": {}}, False),
        ({"parameters": {}}, False),
    ],
)
def test_claims(data, claimed):
    """
    Two keys of a sweep's make a sweep; a native blueprint stays one.
    """
    found = check_text(json.dumps(data))

    assert ("no dialect claims" not in str(found[0]) and "hpo" not in data) is claimed


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_schema_knows_good_files(path):
    """
    The JSON Schema accepts every good file, and none without parameters.
    """
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(FILE.schema())
    data = read_document(path.read_bytes()).data

    assert list(validator.iter_errors(data)) == []
    assert not validator.is_valid({**data, "parameters": {"x": {"values": []}}})
    assert not validator.is_valid({**data, "metrik": {}})


@pytest.mark.skipif(not THEIRS, reason="needs the examples of peers, which are not here")
@pytest.mark.parametrize("path", THEIRS, ids=lambda path: path.stem)
def test_their_examples(path):
    """
    The examples of W&B's own are read without an error.
    """
    assert load_blueprint(path).source.dialect == "wandb"


TRAIN = """
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--units", type=int, required=True)
parser.add_argument("--amp", choices=["True", "False"], required=True)
args = parser.parse_args()
for epoch in range(1, 4):
    print(json.dumps({"loss": args.lr * args.units / epoch, "epoch": epoch}))
"""


def test_sweep_runs(hpo, tmp_path):
    """
    A sweep with a program of its own runs to its end from the command line.
    """
    (tmp_path / "train.py").write_text(TRAIN, "utf-8")
    (tmp_path / "sweep.yaml").write_text(
        sweep(
            {
                "lr": {"distribution": "log_uniform_values", "min": 0.001, "max": 0.1},
                "units": {"distribution": "q_uniform", "min": 8, "max": 64, "q": 8},
                "amp": {"values": [True, False]},
            },
            command=[sys.executable, "${program}", "${args}"],
            run_cap=3,
            early_terminate={"type": "hyperband", "min_iter": 10},
        )
    )
    done = hpo.process("run", tmp_path / "sweep.yaml", "--format", "json")

    assert json.loads(done.stdout)["states"] == {"complete": 3}
