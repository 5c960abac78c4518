"""
The keys of the section ``hyper_parameter_optimization``, and of our own.
"""

from __future__ import annotations

from dataclasses import replace

from airflow_hpo.blueprint.dialects.own import KEYS, VARIABLES, Elsewhere, own_section
from airflow_hpo.blueprint.records import Key, Record
from airflow_hpo.blueprint.shapes import Flag, Nullable, OneOf, Text, Whole

__all__ = [
    "DATASET_STEPS",
    "FUNCTIONS",
    "OWN_SECTION",
    "SEARCH",
    "SEARCH_SECTION",
    "STEPS",
    "STEP_HINTS",
    "WORKFLOW",
]

SEARCH = "hyper_parameter_optimization"
"""The section that is read."""

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


SEARCH_SECTION = Record(
    {
        "enable": Key(Flag(), "Whether there is a search; true by default, as its manual says."),
        "show_progressbar": Key(Flag(), "Of no effect here."),
        "algorithm": Key(OneOf(("tpe", "random")), "HyperOpt's tpe.suggest or rand.suggest."),
        "max_evals": Key(Whole(least=1), "Trials."),
        "random_seed": Key(Nullable(Whole(least=0, below=2**63)), "Of the whole search."),
        "space": Key(Elsewhere(), "Parameters, by step and name."),
    },
    foreign={
        "enabled": "write enable",
        "algo": "write algorithm",
        "seed": "write random_seed",
        "max_trials": "write max_evals",
        "n_trials": "write max_evals",
    },
)

OWN_SECTION = own_section(
    foreign={"seed": "write random_seed, in hyper_parameter_optimization"},
    without=("seed",),
    command=Key(
        Text(examples=('python train.py -d -c "$LOGML_CONFIG"',)),
        "Runs the program on the trial's config.",
    ),
    steps=Key(
        Record({name: Key(Text(), "Its command.") for name in WORKFLOW}),
        "Instead of the program: a command for each named step, with its own parameters.",
    ),
    environment=Key(
        replace(
            VARIABLES,
            pattern=rf"^(?!LOGML_(BASE|CONFIG)$){VARIABLES.pattern.removeprefix('^')}",
            rule=f"{VARIABLES.rule} other than LOGML_BASE, LOGML_CONFIG",
        ),
        KEYS["environment"].about,
    ),
    metric=Key(Text(), "Name of the loss; loss by default."),
    batch_size=Key(Whole(least=1), "Trials at a time; 1 by default, as in Log(ML)."),
)
