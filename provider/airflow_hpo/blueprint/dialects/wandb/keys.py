"""
The keys of a sweep configuration, and of our own section in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.own import OWN, Elsewhere, own_section
from airflow_hpo.blueprint.dialects.wandb.distributions import parameters_schema
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import Key, ListOf, Record
from airflow_hpo.blueprint.shapes import (
    BROKEN,
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

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["FILE", "METHODS", "REQUIRED", "WITHOUT_EFFECT"]

METHODS = {"grid": "grid", "random": "random", "bayes": "gp"}
"""The methods of sweeps, and the strategies that do the same."""


class _Metric(Record):
    """
    One metric; a name alone is a common way to write it wrongly.
    """

    def _hint(self, value: Value) -> str | None:
        return f"write {{name: {value}, goal: minimize}}" if isinstance(value, str) else None


class _Command(ListOf):
    """
    Words that are no line of a shell.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the words; `BROKEN` in place of those that were refused.
        """
        if isinstance(value, str):
            hint = f"write [{', '.join(value.split())}]"
            problems.error(path, f"must be a list of words, got {show(value)}", hint=hint)
            return BROKEN
        return super().read(value, path, problems)


class _Word(Shape):
    """
    One word: text, or a number or truth value, which Python's text is taken of.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the text.
        """
        if isinstance(value, (list, dict)) or value is None:
            problems.error(path, f"must be a word, got {show(value)}")
            return BROKEN
        return str(value)

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"type": ["string", "number", "boolean"]}


_GOAL = Key(OneOf(("minimize", "maximize")), "The direction; minimize by default.")
_NAME = Key(Text(), "As the program prints it.", required=True, example="loss")
_IMPUTES = ("worst", "best", "latest")

_METRIC = _Metric(
    {
        "name": _NAME,
        "goal": _GOAL,
        "target": Key(Nullable(Number()), "The sweep ends when a run has reached it."),
        "impute": Key(OneOf(_IMPUTES), "Of no effect."),
        "impute_while_running": Key(
            Either(text=OneOf((*_IMPUTES, "false")), other=Flag()), "Of no effect."
        ),
    },
    foreign={
        "type": "write goal: minimize or maximize",
        "direction": "write goal: minimize or maximize",
        "threshold": "write target",
    },
)

_ONE_OF_SEVERAL = _Metric(
    {
        "name": _NAME,
        "goal": _GOAL,
        "threshold": Key(Number(), "A bad value; what is better makes up the hypervolume."),
    },
    foreign={"direction": "write goal: minimize or maximize", "target": "write threshold"},
)

_EARLY = Record(
    {
        "type": Key(OneOf(("hyperband",)), "The rule.", required=True, example="hyperband"),
        "min_iter": Key(Whole(least=1), "Iteration of the first bracket."),
        "max_iter": Key(Whole(least=1), "Iterations of a whole run."),
        "s": Key(Whole(least=1), "Number of brackets, counted back from max_iter."),
        "eta": Key(Number(above=1), "One run in so many goes on; 3 by default."),
        "strict": Key(Flag(), "Of no effect."),
    },
    foreign={"eta_min": "write min_iter", "name": "write type: hyperband"},
    main="type",
)

_CONTROLLER = Record(
    {"type": Key(OneOf(("local", "cloud")), "Of no effect.", required=True)}, main="type"
)

_STRATEGY = Record({"name": Key(Text(), "Its name.", required=True)}, rest=Anything())

_OWN_SECTION = own_section(
    concurrency=Key(Whole(least=1), "Trials at the same time; 1 by default, as of one agent."),
    strategy=Key(Either(text=Text(), other=_STRATEGY), "In place of the method."),
    foreign={
        "trials": "write run_cap at the top",
        "metric": "write metric: {name: ...} at the top",
        "agents": "write concurrency",
    },
)

_TEXT = Nullable(Text())

REQUIRED = {
    "method": "write method: random",
    "parameters": "write parameters: {lr: {min: 0.001, max: 0.1}}",
}
"""What there must be, and what to write where it is missing."""

FILE = Record(
    {
        "program": Key(Text(), "The script that is run."),
        "method": Key(OneOf((*METHODS, "custom", "ax")), "The strategy."),
        "metric": Key(_METRIC, "What is optimised."),
        "metrics": Key(ListOf(_ONE_OF_SEVERAL, least=1), "Several objectives, of the method ax."),
        "metric_constraints": Key(ListOf(Text(), least=1), "What metrics must satisfy."),
        "parameters": Key(Elsewhere(parameters_schema()), "What is searched."),
        "early_terminate": Key(_EARLY, "Ends runs early."),
        "command": Key(_Command(_Word(), least=1), "Words of the command, with macros."),
        "run_cap": Key(Nullable(Whole(least=1)), "Trials."),
        "name": Key(_TEXT, "The study's name; by default the file's."),
        "description": Key(Nullable(Text(empty=True)), "Shown in the report."),
        "project": Key(_TEXT, "A tag of the DAG."),
        "entity": Key(_TEXT, "Of no effect."),
        "controller": Key(_CONTROLLER, "Of no effect."),
        "job": Key(_TEXT, "Of no effect."),
        "image_uri": Key(_TEXT, "Of no effect."),
        "scheduler": Key(
            Record({"num_workers": Key(Whole(least=1), "Trials at a time.")}, rest=Anything()),
            "How many runs a launch queue is given at a time.",
        ),
        "apiVersion": Key(Text(), "Of the format."),
        "kind": Key(OneOf(("sweep",)), "Of the file."),
        OWN: Key(_OWN_SECTION, "What a sweep has no key for."),
    },
    foreign={
        "params": "write parameters",
        "parameter": "write parameters",
        "count": "write run_cap",
        "early_stopping": "write early_terminate",
        "goal": "write metric: {goal: ...}",
        "seed": f"write {OWN}: {{seed: 7}}",
        "strategy": f"write {OWN}: {{strategy: ...}}",
        "concurrency": f"write {OWN}: {{concurrency: 2}}",
    },
    partial=True,
    together={"required": [*REQUIRED]},
)
"""A whole file."""

WITHOUT_EFFECT = {
    ("entity",): "no server is asked",
    ("controller",): "no controller is asked; the study is its own",
    ("job",): "there is no launch queue; program or command is run",
    ("image_uri",): f"the runner decides where commands run, as in {OWN}: {{runner: ...}}",
    ("metric", "impute"): "failed runs are no measurements for any strategy",
    ("early_terminate", "strict"): "one run in eta passes a bracket, and no more",
}
"""What changes nothing here, and why."""
