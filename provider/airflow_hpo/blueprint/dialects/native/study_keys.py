"""
Keys of the study: objective, strategy, budget, execution, stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_hpo.blueprint.dialects.native.trial_keys import STEP_KEYS, named
from airflow_hpo.blueprint.document import Path
from airflow_hpo.blueprint.durations import DURATION
from airflow_hpo.blueprint.problems import Problems, show
from airflow_hpo.blueprint.records import Key, ListOf, MapOf, Record, one_of
from airflow_hpo.blueprint.shapes import (
    BROKEN,
    Anything,
    Either,
    Number,
    OneOf,
    Shape,
    Text,
    Whole,
)
from airflow_hpo.blueprint.units import SHARE_PATTERN, share_of
from airflow_hpo.model.values import Value

__all__ = ["BUDGET", "EXECUTION", "OBJECTIVE", "PRUNER", "RESOURCE", "STRATEGY", "StopRuleShape"]


def _some_share(text: str) -> float:
    share = share_of(text)
    if not 0 < share <= 1:
        raise ValueError(f"must be above 0% and at most 100%, got {text!r}")
    return share


@dataclass(frozen=True)
class _FailureLimit(Shape):
    """
    A number of trials (an int), or a share of them (a float).
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the limit.
        """
        if isinstance(value, str):
            return _SHARE.read(value, path, problems)
        if isinstance(value, float) and 0 < value < 1:
            message = f"must be a count or a share such as 20%, got {show(value)}"
            problems.error(path, message, hint=f"write {value * 100:g}%")
            return BROKEN
        return _COUNT.read(value, path, problems)

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"anyOf": [_COUNT.schema(), _SHARE.schema()]}


_COUNT = Whole(least=1)
_SHARE = Text(
    pattern=SHARE_PATTERN,
    rule="a count or a share such as 20%",
    convert=_some_share,
    examples=("20%",),
)

OBJECTIVE = Record(
    {
        "metric": Key(Text(), "Name of the metric, as the training code prints it.", required=True),
        "direction": Key(OneOf(("minimize", "maximize")), "Which values are better."),
        "target": Key(Number(), "Instead of a direction: the closest to this value wins."),
        "value": Key(
            Text(
                pattern=r"^(last|min|max|mean_last_[1-9][0-9]{0,5})$",
                rule="last, min, max or mean_last_K",
                examples=("last", "min", "max", "mean_last_5"),
            ),
            "Which of a trial's measurements counts; last by default.",
        ),
        "reference": Key(
            Number(), "A bad value, from which the hypervolume of several objectives is measured."
        ),
    },
    foreign={
        "name": "write metric",
        "goal": "write direction: minimize or maximize",
        "mode": "write direction: minimize or maximize",
        "type": "write direction: minimize or maximize",
        "optimization": "write direction: minimize or maximize",
    },
    main="metric",
    together=one_of("direction", "target"),
)

_METRIC_RULE = Record(
    {
        "metric": Key(Text(), "Any metric that trials print.", required=True),
        "at_least": Key(Number(), "Ends the study at this value or above."),
        "at_most": Key(Number(), "Ends the study at this value or below."),
        "target": Key(Number(), "Ends the study within the tolerance of this value."),
        "tolerance": Key(Number(least=0), "Distance from the target that still counts."),
    },
    together=one_of("at_least", "at_most", "target"),
)
_PLATEAU_RULE = Record(
    {
        "plateau": Key(
            Whole(least=1), "How many trials in a row may bring nothing.", required=True
        ),
        "min_delta": Key(Number(least=0), "A smaller improvement is none."),
    }
)
_EXPRESSION = Text(examples=("val_loss < 0.05 and execution.duration > 60",))


@dataclass(frozen=True)
class StopRuleShape(Shape):
    """
    An expression, or the keys of a rule on a metric or on a plateau.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the text or the keys.
        """
        if isinstance(value, str):
            return _EXPRESSION.read(value, path, problems)
        plateau = isinstance(value, dict) and "plateau" in value
        before = problems.errors
        found = (_PLATEAU_RULE if plateau else _METRIC_RULE).read(value, path, problems)
        return BROKEN if problems.errors > before else found

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"anyOf": [shape.schema() for shape in (_METRIC_RULE, _PLATEAU_RULE, _EXPRESSION)]}


_STRATEGIES = Text(examples=("auto", "tpe", "gp", "random", "grid", "manual"))

_STRATEGY = Record(
    {
        "name": Key(_STRATEGIES, "tpe by default."),
        "startup_trials": Key(Whole(least=0), "So many first trials are random."),
        "seed": Key(Whole(least=0, below=2**63), "Of the whole study; drawn by default."),
        "options": Key(MapOf(Anything()), "The strategy's own."),
    },
    foreign={
        "algorithm": "write name",
        "type": "write name",
        "random_state": "write seed",
        "n_startup_trials": "write startup_trials",
    },
    main="name",
)

STRATEGY = Either(text=_STRATEGIES, other=_STRATEGY)

PRUNER = Either(
    text=Text(examples=("median",)),
    other=named("name", "The pruner; its options stand beside it.", "median", "patience"),
)

BUDGET = Record(
    {
        "trials": Key(
            Whole(least=1), "Trials over all runs of the study.", required=True, example="20"
        ),
        "wall_clock": Key(DURATION, "Time since the first trial started."),
        "trial_time": Key(DURATION, "Time summed over all trials."),
        "failures": Key(_FailureLimit(), "Failed trials that end the study: 5, or 20%."),
        "identical_failures": Key(
            Whole(least=2), "Trials that fail with the same traceback and so end the study."
        ),
    },
    foreign={
        "max_trials": "write trials",
        "n_trials": "write trials",
        "timeout": "write wall_clock for the study, or trial.timeout for each trial",
    },
    main="trials",
)

EXECUTION = Record(
    {
        "mode": Key(OneOf(("batch", "async")), "batch waits for a whole round of trials."),
        "batch_size": Key(Whole(least=1), "Trials suggested together; 5 by default."),
        "concurrency": Key(Whole(least=1), "Trials that run at the same time."),
    },
    foreign={"parallelism": "write batch_size", "n_jobs": "write concurrency"},
    main="mode",
)

_PLACEMENT = Record(
    {
        "at_least": Key(
            Number(above=0), "Holds for trials that are given so much.", required=True, example="27"
        ),
        **{name: key for name, key in STEP_KEYS.items() if name != "template"},
    },
    main="at_least",
)

RESOURCE = Record(
    {
        "name": Key(Text(), "Its name in commands.", required=True, example="epochs"),
        "min": Key(Number(above=0), "Least resource of a trial.", required=True, example="1"),
        "max": Key(Number(above=0), "Most.", required=True, example="27"),
        "type": Key(
            OneOf(("int", "float")), "int gives whole numbers; by default if both bounds are."
        ),
        "rungs": Key(
            ListOf(_PLACEMENT, least=1),
            "Where trials run that are given much of it; otherwise as the trial says.",
        ),
    },
    foreign={
        "min_resource": "write min",
        "max_resource": "write max",
        "max_iter": "write max",
        "eta": "write strategy: {options: {eta: ...}}",
        "resume": "write strategy: {options: {resume: ...}}",
    },
    main="name",
)
