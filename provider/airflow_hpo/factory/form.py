"""
BLUEPRINT -> TRIGGER FORM: what a person may change for one run, and its limits.

What Airflow can check it checks before a run begins; the rest the first task
does, before any trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from airflow_hpo.blueprint.bounds import NUMBER, bounds_text
from airflow_hpo.blueprint.settings import SPACE, target_of
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int
from airflow_hpo.model.values import canonical
from airflow_hpo.strategies import STRATEGIES
from airflow_hpo.strategies.support import unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.space import Parameter
    from airflow_hpo.plan import Plan

__all__ = ["SETTINGS", "settings_templates", "trigger_form"]

# What a person may change per run, by the shape of the DAG. What cannot be
# changed without another DAG is not offered.
SETTINGS: Mapping[str, Sequence[str]] = {
    "batch": ("trials", "batch_size", "strategy", "seed"),
    "async": ("trials", "strategy", "seed"),
    "ladder": ("seed",),
}

_SECTION = "Search space"


def settings_templates(blueprint: Blueprint, plan: Plan) -> dict[str, str]:
    """
    Return the operators' settings, as templates that take them from the form.
    """
    names = [*SETTINGS[plan.mode], *(["target"] if target_of(blueprint) else []), "warm_start"]
    templates = {name: f"{{{{ params.{name} }}}}" for name in names}
    # One template for all bounds: each mapped task keeps its own copy of them.
    return templates | {"space": "{{ dict(params) | tojson }}"}


def trigger_form(blueprint: Blueprint, plan: Plan) -> dict[str, Param]:
    """
    Return the fields of the trigger form by name.
    """
    fields = {
        "trials": _trials(plan),
        "batch_size": _batch_size(blueprint, plan),
        "strategy": _strategy(blueprint),
        "seed": Param(
            blueprint.strategy.seed,
            type=["null", "integer"],
            minimum=0,
            maximum=2**63 - 1,
            title="Seed",
            description="The same seed gives the same suggestions; empty draws one.",
        ),
    }
    found = {name: fields[name] for name in SETTINGS[plan.mode]}
    target = _target(blueprint)
    if target is not None:
        found["target"] = target
    found["study"] = Param(
        None,
        type=["null", "string"],
        maxLength=200,
        title="Study",
        description="Its name; one that exists already is continued. Empty keeps the default.",
    )
    warm_start = blueprint.warm_start
    found["warm_start"] = Param(
        warm_start.source.study or None if warm_start else None,
        type=["null", "string"],
        maxLength=255,
        title="Warm start",
        description="Another study, whose trials are taken first. Empty keeps what the "
        "blueprint says.",
    )
    bounds = {SPACE + item.name: _bounds(item) for item in blueprint.space.tunable}
    return found | {name: param for name, param in bounds.items() if param is not None}


def _trials(plan: Plan) -> Param:
    return Param(
        plan.trials,
        type="integer",
        minimum=1,
        maximum=plan.trials,
        title="Trials",
        description="How many trials the study has at most, all its runs counted.",
    )


def _batch_size(blueprint: Blueprint, plan: Plan) -> Param:
    return Param(
        min(blueprint.execution.batch_size, plan.trials),
        type="integer",
        minimum=1,
        maximum=plan.trials,
        title="Batch size",
        description=(
            "How many trials run before the next are suggested. The DAG has "
            f"{_rounds(plan)}: a smaller batch means fewer trials."
        ),
    )


def _rounds(plan: Plan) -> str:
    return "1 round" if len(plan.rounds) == 1 else f"{len(plan.rounds)} rounds"


def _strategy(blueprint: Blueprint) -> Param:
    """
    Return the choice of a strategy among those that can search this space in this DAG.
    """
    own = blueprint.strategy.name
    names = [name for name in STRATEGIES.entries if name == own or _can(blueprint, name)]
    return Param(
        own,
        type="string",
        enum=names if own in names else [own, *names],
        title="Strategy",
        description="What suggests the trials. Another than the blueprint's has its usual options.",
    )


def _can(blueprint: Blueprint, name: str) -> bool:
    support = STRATEGIES.load(name).support
    # Ladders have a table of their own, and manual has no trials but points.
    if support.multi_fidelity or name == "manual":
        return False
    if blueprint.outcome_constraints and not support.outcome_constraints:
        return False
    return not unsupported(
        name,
        space=blueprint.space,
        objectives=blueprint.objectives,
        mode=blueprint.execution.mode,
    )


def _target(blueprint: Blueprint) -> Param | None:
    found = target_of(blueprint)
    if found is None:
        return None
    words = found[0].replace("_", " ")
    return Param(
        found[1],
        type=["null", "number"],
        title="Target",
        description=f"The study ends once {blueprint.objectives[0].metric} is {words} this.",
    )


def _bounds(parameter: Parameter) -> Param | None:
    """
    Return the field for a parameter's bounds.
    """
    item = parameter.distribution
    if isinstance(item, Constant):
        return None
    if isinstance(item, Categorical):
        return _choices(parameter.name, item)
    words = "Lowest and highest value" if isinstance(item, (Float, Int)) else "Mean and deviation"
    number: dict[str, Any] = {"type": "integer" if isinstance(item, Int) else "number"}
    pattern = r"[-+]?\d+" if isinstance(item, Int) else NUMBER
    more = []
    if getattr(item, "log", False):
        number["exclusiveMinimum"] = 0
        pattern = pattern.replace("[-+]?", "", 1)
        more.append("logarithmic")
    more += [f"step {item.step:g}"] if item.step not in {None, 1} else []
    return Param(
        bounds_text(item),
        # A line of text in the form, a list where a program triggers: with a
        # ``type`` of both the form would want several lines.
        anyOf=[
            {
                "type": "string",
                "pattern": rf"^\s*{pattern}\s*(,|;|to|\.\.)\s*{pattern}\s*$",
            },
            {"type": "array", "items": number, "minItems": 2, "maxItems": 2},
        ],
        section=_SECTION,
        title=parameter.name,
        description=", ".join([words, *more]) + ".",
    )


def _choices(name: str, item: Categorical) -> Param:
    texts = [each if isinstance(each, str) else canonical(each) for each in item.choices]
    return Param(
        texts,
        type="array",
        examples=texts,
        minItems=1,
        uniqueItems=True,
        section=_SECTION,
        title=name,
        description="The values to choose among.",
    )
