"""
The settings of a ClearML optimisation by name, and those of our own section.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.dialects.clearml.metrics import SIGNS
from airflow_hpo.blueprint.dialects.own import OWN, Elsewhere, own_section
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import Key, ListOf, OneOrMany, Record
from airflow_hpo.blueprint.shapes import (
    Anything,
    Either,
    Flag,
    Nullable,
    Number,
    OneOf,
    Text,
    Whole,
)
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = [
    "BOHB",
    "FILE",
    "KWARGS",
    "OPT",
    "OWN_SECTION",
    "SPACES",
    "STORED",
    "WITHOUT_EFFECT",
]

SPACES = ("hyper_parameters", "parameter_optimization_space")
"""Where the parameters are: as an argument, and as ClearML stores them."""

STORED = "opt"
"""The section in which ClearML stores the other arguments."""


class _Arguments(Record):
    """
    Arguments of one class: far too many to be listed where one is unknown.
    """

    def _unknown(self, name: str, path: Path, problems: Problems) -> None:
        hint = self.foreign.get(name) or did_you_mean(name, self.keys)
        message = "must be an argument of HyperParameterOptimizer or of its optimizer"
        problems.error(path, f"{message}, got {show(name)}", hint=hint, at_key=True)


_MINUTES = Nullable(Number(above=0))
_SOME_WHOLE = Nullable(Whole(least=1))

_SAMPLER = Nullable(
    Either(
        text=Text(),
        other=Record({"name": Key(Text(), "Its class.", required=True)}, rest=Anything()),
    )
)

BOHB = {
    "eta": Key(Nullable(Number(above=1)), "One trial in so many goes on."),
    "min_budget": Key(Nullable(Number(above=0)), "Of no effect."),
    "max_budget": Key(Nullable(Number(above=0)), "Of no effect."),
    "min_points_in_model": Key(_SOME_WHOLE, "Trials before there is a model."),
    "top_n_percent": Key(Nullable(Number(above=0)), "Share of trials that are good."),
    "num_samples": Key(_SOME_WHOLE, "Candidates for each suggestion."),
    "random_fraction": Key(Nullable(Number(least=0)), "Share of random suggestions."),
    "bandwidth_factor": Key(Nullable(Number(above=0)), "Widens the model's kernels."),
    "min_bandwidth": Key(Nullable(Number(above=0)), "The least width of one."),
    "local_port": Key(Nullable(Whole(least=0)), "Of no effect."),
}
"""What only OptimizerBOHB takes."""

_OPTIMIZER = {
    "time_limit_per_job": Key(_MINUTES, "Minutes that a job may take."),
    "pool_period_min": Key(Nullable(Number(least=0)), "Of no effect."),
    "min_iteration_per_job": Key(Nullable(Number(least=0)), "Iterations of the shortest job."),
    "max_iteration_per_job": Key(Nullable(Number(above=0)), "Iterations of the longest job."),
    "total_max_jobs": Key(_SOME_WHOLE, "Trials."),
    "optuna_sampler": Key(_SAMPLER, "A sampler of Optuna's, by the name of its class."),
    "optuna_pruner": Key(_SAMPLER, "A pruner of Optuna's, by the name of its class."),
    "continue_previous_study": Key(Nullable(Text()), "Name of the study to go on with."),
    **BOHB,
}

_ARGUMENTS = {
    "base_task_id": Key(Text(), "The script that is run, or its command."),
    "objective_metric_title": Key(OneOrMany(Text()), "Title of the metric."),
    "objective_metric_series": Key(OneOrMany(Text()), "Series of the metric."),
    "objective_metric_sign": Key(
        OneOrMany(OneOf(tuple(SIGNS))),
        "Direction, and which value counts: the last, or the best of all.",
    ),
    "optimizer_class": Key(Text(), "The strategy; RandomSearch by default."),
    "max_number_of_concurrent_tasks": Key(Whole(least=1), "Trials at the same time: 10."),
    "execution_queue": Key(Nullable(Text()), "Airflow queue of the trials' tasks."),
    "optimization_time_limit": Key(_MINUTES, "Minutes that the study may take."),
    "compute_time_limit": Key(_MINUTES, "Minutes that all jobs together may take."),
    "auto_connect_task": Key(Anything(), "Of no effect."),
    "always_create_task": Key(Flag(), "Of no effect."),
    "spawn_project": Key(Nullable(Text()), "Of no effect."),
    "save_top_k_tasks_only": Key(Nullable(Whole(least=-1)), "Of no effect."),
    "project_name": Key(Nullable(Text()), "A tag of the DAG."),
    "task_name": Key(Nullable(Text()), "The study's name."),
    **_OPTIMIZER,
    "optimizer_kwargs": Key(Elsewhere(), "More arguments, for the optimizer."),
}

WITHOUT_EFFECT = {
    "bandwidth_factor": "the model chooses its kernels' widths by itself",
    "min_bandwidth": "the model chooses its kernels' widths by itself",
    "pool_period_min": "nobody polls; a trial's end is seen when it ends",
    "auto_connect_task": "there is no ClearML server",
    "always_create_task": "there is no ClearML server",
    "spawn_project": "there is no ClearML server; project_name becomes a tag of the DAG",
    "local_port": "there is no name server",
    "min_budget": "the iterations' bounds are min_iteration_per_job and max_iteration_per_job",
    "max_budget": "the iterations' bounds are min_iteration_per_job and max_iteration_per_job",
}
"""What changes nothing here, and why."""

_FOREIGN = {
    "objective_metric": "write objective_metric_title and objective_metric_series",
    "objective_title": "write objective_metric_title",
    "objective_series": "write objective_metric_series",
    "objective_sign": "write objective_metric_sign",
    "queue": "write execution_queue",
    "max_jobs": "write total_max_jobs",
    "time_limit": "write optimization_time_limit, in minutes",
    "seed": f"write {OWN}: {{seed: 7}}",
    "command": f"write {OWN}: {{command: ...}}",
    "script": "write base_task_id",
}

KWARGS = _Arguments(_OPTIMIZER, foreign=_FOREIGN, partial=True)
"""What stands in ``optimizer_kwargs``."""

OPT = _Arguments(_ARGUMENTS, foreign=_FOREIGN, partial=True)
"""What stands in ``opt``."""

_TEXTS = Either(text=Text(), other=ListOf(Text(), least=1))

OWN_SECTION = own_section(
    foreign={
        "trials": "write total_max_jobs at the top",
        "base_task": "write command",
        "timeout": "write time_limit_per_job at the top, in minutes",
        "value": "write objective_metric_sign: min_global or max_global at the top",
    },
    without=("timeout", "value"),
    metric=Key(_TEXTS, "What the trial calls the metric, or a list of these."),
    iterations=Key(
        Text(pattern=r"^[^\s{}:]+$", rule="a name without white space, braces and colons"),
        "What commands call the iterations of OptimizerBOHB; iterations by default.",
    ),
)

FILE = _Arguments(
    {
        **{name: Key(Elsewhere(), "The parameters.") for name in SPACES},
        **_ARGUMENTS,
        STORED: Key(Elsewhere(), "The other arguments, as ClearML stores them."),
        OWN: Key(OWN_SECTION, "What ClearML has no argument for."),
    },
    foreign=_FOREIGN,
    partial=True,
)
"""A whole file."""
