"""
Sections of Polyaxon's that both generations have, and our own one.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_hpo.blueprint.dialects.own import own_section
from airflow_hpo.blueprint.dialects.polyaxon.shapes import (
    Amount,
    Command,
    Count,
    Section,
    Truth,
    Word,
    camel,
)
from airflow_hpo.blueprint.records import Key, ListOf, MapOf
from airflow_hpo.blueprint.shapes import Anything, OneOf, Text

__all__ = [
    "ANNOTATED",
    "ANNOTATION",
    "NEW",
    "OLD",
    "OWN_SECTION",
    "Spelling",
    "searches",
    "stopping",
]

ANNOTATION = "airflow-hpo/"
"""What our keys begin with as annotations, which Polyaxon takes in newer files."""

ANNOTATED = ("name", "metric", "direction", "batch_size")
"""Keys of our section that may be annotations."""

Spelling = Mapping[str, str]
"""How a generation spells keys, by their plain names."""

OLD: Spelling = {}
"""Plain names are those of the older files."""


class _Camels(dict[str, str]):
    """
    Spells every name: those that it does not hold by rule.
    """

    def get(self, name: str, default: str | None = None) -> str:  # type: ignore[override]
        """
        Return how *name* is spelled.
        """
        return self[name] if name in self else camel(default or name)


NEW: Spelling = _Camels(
    n_experiments="numRuns",
    max_iter="maxIterations",
    n_iterations="maxIterations",
    n_initial_trials="numInitialRuns",
    n_restarts_optimizer="numRestartsOptimizer",
    n_warmup="numWarmup",
    n_iter="numIterations",
    airflow_hpo="airflow_hpo",
)
"""Newer files write capitals, and have other names for some."""

_ALSO = {
    name: plain
    for plain, names in {
        "n_initial_trials": ("numInitialTrials", "num_initial_trials"),
        "n_iterations": ("numIterations", "num_iterations"),
    }.items()
    for name in names
}


OWN_SECTION = own_section(
    foreign={"concurrency": "write concurrency beside the search"},
    command=Key(
        Command(),
        "What a trial runs, in place of the file's own command or reference.",
    ),
    metric=Key(Text(), "The metric to optimise, where no algorithm names it."),
    direction=Key(OneOf(("minimize", "maximize")), "Which values of it are better."),
    batch_size=Key(Count(least=1), "Trials suggested together."),
    seed=Key(Count(least=0), "Of the study, where the file's own place has none."),
)
"""What a file of Polyaxon's has no place for."""

_WORDS = ("maximize", "minimize")


def _metric(spelled: Spelling) -> Section:
    return Section(
        {
            "name": Key(Text(), "Of the metric.", required=True),
            "optimization": Key(Word(_WORDS), "Which values are better."),
        },
        spelled,
    )


def _utility(spelled: Spelling) -> Section:
    process = Section(
        {
            "kernel": Key(Word(("matern", "rbf")), "Family of the kernel."),
            "length_scale": Key(Amount(above=0), "Where the fit of it begins."),
            "nu": Key(Amount(above=0), "How smooth a Matern kernel is."),
            "n_restarts_optimizer": Key(Count(least=0), "How many more beginnings."),
        },
        spelled,
    )
    return Section(
        {
            "acquisition_function": Key(Word(("ucb", "ei", "poi")), "What is maximised."),
            "kappa": Key(Amount(least=0), "How much uncertainty attracts, with ucb."),
            "eps": Key(Amount(least=0), "What counts as improvement, with ei and poi."),
            "n_warmup": Key(Count(least=0), "Of no effect here."),
            "n_iter": Key(Count(least=0), "Of no effect here."),
            "gaussian_process": Key(process, "The process."),
        },
        spelled,
    )


def searches(spelled: Spelling, beside: Mapping[str, Key]) -> Mapping[str, Section]:
    """
    Return the sections of all algorithms by their plain names.

    Args:
        spelled: How this generation spells keys.

        beside: Keys that stand in the same section.
    """
    resource = Section(
        {
            "name": Key(Text(), "In commands.", required=True, example="num_steps"),
            "type": Key(Word(("int", "float")), "Whether it is whole; a float by default."),
        },
        spelled,
    )
    metric = Key(_metric(spelled), "What is optimised.", required=True, example="{name: loss}")
    n_experiments = Key(Count(least=1), "How many there are at most.")
    forms: dict[str, dict[str, Key]] = {
        "grid_search": {"n_experiments": n_experiments},
        "random_search": {
            "n_experiments": Key(Count(least=1), "How many.", required=True, example="20")
        },
        "hyperband": {
            "max_iter": Key(Count(least=1), "Most resource.", required=True, example="81"),
            "eta": Key(Amount(least=2), "One in so many goes on.", required=True, example="3"),
            "resource": Key(resource, "What grows.", required=True, example="{name: num_steps}"),
            "metric": metric,
            "resume": Key(Truth(), "Whether trials go on from their checkpoint."),
        },
        "bo": {
            "n_initial_trials": Key(Count(least=0), "Random.", required=True, example="10"),
            "n_iterations": Key(Count(least=0), "After them.", required=True, example="20"),
            "metric": metric,
            "utility_function": Key(_utility(spelled), "How they are chosen."),
        },
        "mapping": {
            "values": Key(ListOf(MapOf(Anything()), least=1), "One by one.", required=True)
        },
        "iterative": {
            "n_iterations": Key(Count(least=1), "How many.", required=True, example="20"),
            "metric": Key(_metric(spelled), "What is optimised."),
        },
        "hyperopt": {
            "n_experiments": Key(Count(least=1), "Per iteration.", required=True, example="10"),
            "n_iterations": Key(Count(least=1), "How often."),
            "algorithm": Key(Word(("tpe", "rand", "anneal")), "HyperOpt's."),
            "metric": metric,
        },
        "tpe": {
            "n_experiments": Key(Count(least=1), "Per iteration.", required=True, example="10"),
            "n_iterations": Key(Count(least=1), "How often."),
            "metric": metric,
        },
    }
    foreign = {"seed": "write seed in hptuning", "concurrency": "write concurrency in hptuning"}
    if beside:
        foreign = {name: f"write {word}" for name, word in dict(spelled).items() if name != word}
    also = _ALSO if beside else {}
    return {
        name: Section({**keys, **beside}, spelled, also, foreign) for name, keys in forms.items()
    }


def stopping(spelled: Spelling, *, policies: tuple[str, ...], old: bool) -> Section:
    """
    Return the section of one rule of early stopping, of any kind.

    Args:
        spelled: How this generation spells keys.

        policies: Kinds of policy that it has.

        old: Whether it is a file whose rules have no kind.
    """
    policy = Section(
        {
            "kind": Key(Word(policies), "Which policy.", required=True, example=policies[0]),
            "evaluation_interval": Key(Count(least=1), "Every so many reports it is asked."),
            "min_interval": Key(Count(least=0), "Reports before the first time."),
            "min_samples": Key(Count(least=1), "Trials that must have reported."),
            "percent": Key(Amount(above=0), "How many, or by how much."),
            "include_succeeded": Key(Truth(), "Whether trials that ended count."),
        },
        spelled,
    )
    keys = {
        "metric": Key(Text(), "Any metric that trials print."),
        "value": Key(Amount(), "The threshold."),
        "optimization": Key(Word(_WORDS), "Which side of it ends the study."),
        "policy": Key(policy, "Ends single trials instead."),
    }
    if old:
        keys["higher"] = Key(Truth(), "In very old files: maximize.")
    else:
        kinds = ("metric_early_stopping", "failure_early_stopping")
        keys["kind"] = Key(OneOf(kinds), "metric_early_stopping by default.")
        keys["percent"] = Key(Amount(above=0), "Of trials that may fail.")
    return Section(keys, spelled)
