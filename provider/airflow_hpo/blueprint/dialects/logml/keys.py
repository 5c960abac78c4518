"""
The keys of the section ``hyper_parameter_optimization``, and of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.records import Key, MapOf, Record
from airflow_hpo.blueprint.shapes import (
    Anything,
    Either,
    Flag,
    Nullable,
    Number,
    OneOf,
    Shape,
    Text,
    Whole,
)
from airflow_hpo.blueprint.units import DURATION_PATTERN, seconds_of

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = [
    "DATASET_STEPS",
    "FUNCTIONS",
    "OWN",
    "OWN_SECTION",
    "SEARCH",
    "SEARCH_SECTION",
    "STEPS",
    "STEP_HINTS",
    "WORKFLOW",
]

SEARCH = "hyper_parameter_optimization"
"""The section that is read."""

OWN = "airflow_hpo"
"""Our own section."""

DATASET_STEPS = (
    "dataset_augment",
    "dataset_create",
    "dataset_load",
    "dataset_preprocess",
    "dataset_split",
)
"""Tunable steps that make the dataset anew."""

STEPS = (*DATASET_STEPS, "model_create", "model_train")
"""All tunable steps."""

STEP_HINTS = {"augment": "write dataset_augment", "preprocess": "write dataset_preprocess"}
"""What Log(ML) has been given instead of some of them."""

FUNCTIONS = (
    *STEPS,
    "dataset_inout",
    "dataset_save",
    "model_evaluate",
    "model_predict",
    "model_save",
)
"""All functions that a program may define."""

WORKFLOW = (
    "dataset_load",
    "dataset_create",
    "dataset_preprocess",
    "dataset_augment",
    "dataset_split",
    "dataset_inout",
    "dataset_save",
    "model_create",
    "model_train",
    "model_save",
    "model_evaluate",
    "model_predict",
)
"""The same in the order in which they run."""


def _some_seconds(text: str) -> float:
    seconds = seconds_of(text)
    if seconds <= 0:
        raise ValueError(f"must be above 0, got {text!r}")
    return seconds


@dataclass(frozen=True)
class _Elsewhere(Shape):
    """
    Any value; it is looked at in another place.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the value.
        """
        del path, problems
        return value

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {}


SEARCH_SECTION = Record(
    {
        "enable": Key(Flag(), "Whether there is a search; true by default, as its manual says."),
        "show_progressbar": Key(Flag(), "Of no effect here."),
        "algorithm": Key(OneOf(("tpe", "random")), "HyperOpt's tpe.suggest or rand.suggest."),
        "max_evals": Key(Whole(least=1), "Trials."),
        "random_seed": Key(Nullable(Whole(least=0, below=2**63)), "Of the whole search."),
        "space": Key(_Elsewhere(), "Parameters, by step and name."),
    },
    foreign={
        "enabled": "write enable",
        "algo": "write algorithm",
        "seed": "write random_seed",
        "max_trials": "write max_evals",
        "n_trials": "write max_evals",
    },
)

OWN_SECTION = Record(
    {
        "name": Key(
            Text(
                pattern=r"^[\w.-]{1,200}$",
                rule="letters, digits, dots, dashes and underscores, 200 at most",
            ),
            "The study's name; by default that of the model.",
        ),
        "command": Key(
            Text(examples=('python train.py -d -c "$LOGML_CONFIG"',)),
            "Runs the program on the trial's config.",
        ),
        "steps": Key(
            Record({name: Key(Text(), "Its command.") for name in WORKFLOW}),
            "Instead of the program: a command for each named step, with its own parameters.",
        ),
        "runner": Key(
            Either(
                text=Text(),
                other=Record({"name": Key(Text(), "The runner.", required=True)}, rest=Anything()),
            ),
            "Where the program runs.",
        ),
        "workdir": Key(Text(), "Folder it starts in, relative to the file's."),
        "environment": Key(
            MapOf(
                Text(empty=True),
                pattern=r"^(?!LOGML_(BASE|CONFIG)$)[A-Za-z_][A-Za-z0-9_]*$",
                rule="the name of an environment variable other than LOGML_BASE, LOGML_CONFIG",
            ),
            "Variables of the program.",
        ),
        "metric": Key(Text(), "Name of the loss; loss by default."),
        "metrics": Key(
            Record({"format": Key(Text(), "The format.", required=True)}, rest=Anything()),
            "How the loss is read, if not from Log(ML)'s log.",
        ),
        "timeout": Key(
            Either(
                text=Text(
                    pattern=DURATION_PATTERN,
                    rule="seconds or a duration such as 90s, 30m, 1h30m, 2d",
                    convert=_some_seconds,
                ),
                other=Number(above=0),
            ),
            "Time that a trial may take.",
        ),
        "batch_size": Key(Whole(least=1), "Trials at a time; 1 by default, as in Log(ML)."),
    },
    foreign={"seed": "write random_seed, in hyper_parameter_optimization"},
)
