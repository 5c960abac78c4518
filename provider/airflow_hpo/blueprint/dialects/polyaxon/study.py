"""
From what a file says to the parts of a study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks import Draft
from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.own import OWN, study_name
from airflow_hpo.blueprint.dialects.polyaxon.search import fill_in_search
from airflow_hpo.blueprint.dialects.polyaxon.statics import MISSING, is_template
from airflow_hpo.blueprint.dialects.polyaxon.stopping import direction_of, fill_in_stopping
from airflow_hpo.blueprint.dialects.polyaxon.trial import fill_in_trial
from airflow_hpo.model.blueprint import DagSpec
from airflow_hpo.model.distribution import Categorical, Constant
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter
from airflow_hpo.model.values import canonical

if TYPE_CHECKING:
    from airflow_hpo.blueprint.dialects.polyaxon.reading import Reading
    from airflow_hpo.blueprint.dialects.polyaxon.statics import Static
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.distribution import Distribution

__all__ = ["read_draft"]

_USUAL_METRIC, _USUAL_DIRECTION = "loss", "minimize"


def read_draft(reading: Reading, problems: Problems) -> Draft:
    """
    Return the parts of the study in a file.
    """
    settings = reading.settings
    draft = Draft(
        name=reading.own.get("name")
        or study_name(problems, settings.get("name"), otherwise="polyaxon", filler="-"),
        description=settings.get("description", "").strip(),
        broken=set(reading.broken),
        placeholder="{{{{ {name} }}}}",
    )
    problems.relocate(_places(reading))
    draft.dag = build(DagSpec, _dag(settings), (), problems)
    draft.objectives = _objectives(reading, problems)
    fill_in_search(reading, draft, problems)
    _fill_in_space(reading, draft, problems)
    problems.relocate(fill_in_stopping(reading, draft, problems))
    fill_in_trial(reading, draft, problems)
    return draft


def _dag(settings: dict[str, Any]) -> dict[str, Any]:
    tags = tuple(tag for tag in settings.get("tags", ()) if isinstance(tag, str))
    schedule = settings.get("schedule")
    return {"tags": tags, **({} if schedule is None else {"schedule": schedule})}


def _places(reading: Reading) -> dict[Path, Path]:
    """
    Return where the file has what the checks name by the native dialect's keys.
    """
    part, shared = reading.search, reading.shared
    kind = (*reading.root, "kind") if reading.is_new else (part.path or reading.root)
    trials = next(
        (part.place(name) for name in ("n_experiments", "n_iterations") if name in part.spelled),
        part.path or reading.root,
    )
    places: dict[Path, Path] = {
        ("name",): ("name",),
        ("space",): reading.matrix_path or reading.root,
        ("objective",): part.place("metric"),
        ("strategy",): kind,
        ("strategy", "name"): kind,
        ("strategy", "seed"): shared.place("seed"),
        ("strategy", "options"): part.place("utility_function"),
        ("strategy", "options", "configurations"): part.place("values"),
        ("strategy", "options", "eta"): part.place("eta"),
        ("strategy", "startup_trials"): part.place("n_initial_trials"),
        ("budget",): part.path or reading.root,
        ("budget", "trials"): trials,
        ("execution",): shared.place("concurrency"),
        ("execution", "concurrency"): shared.place("concurrency"),
        ("execution", "batch_size"): (OWN, "batch_size"),
        ("resource",): part.place("resource"),
        ("dag", "schedule"): ("schedule", "cron"),
        ("dag",): ("name",),
    }
    return places


def _objectives(reading: Reading, problems: Problems) -> tuple[Objective, ...]:
    """
    Return what is optimised: what the algorithm says, else our section, else a rule's metric.
    """
    metric = reading.search.get("metric")
    value = reading.own.get("value", "last")
    own = {name: reading.own[name] for name in ("metric", "direction") if name in reading.own}
    if metric is not None:
        for name in own:
            message = f"has no effect: the search optimises {metric.get('name')}"
            problems.warn((OWN, name), message, at_key=True)
        direction = metric.get("optimization", "maximize")
        return (Objective(metric=metric.get("name"), direction=direction, value=value),)
    if not reading.algorithm:
        return ()
    rule = next((rule for rule in reading.rules if rule.get("metric")), None)
    if "metric" not in own and rule is not None:
        own = {"direction": direction_of(rule), **own, "metric": rule.get("metric")}
    elif len(own) < len(("metric", "direction")):
        own = {"metric": _USUAL_METRIC, "direction": _USUAL_DIRECTION, **own}
        problems.warn(
            (OWN,) if reading.own else (reading.search.path or reading.root),
            f"names no metric: {own['metric']} is taken, to {own['direction']}",
            hint=f"write {OWN}: {{metric: accuracy, direction: maximize}}",
            at_key=True,
        )
    return (Objective(metric=own["metric"], direction=own["direction"], value=value),)


def _fill_in_space(reading: Reading, draft: Draft, problems: Problems) -> None:
    for name, option in reading.options.items():
        _put(name, option.distribution, option.path, draft, problems)
    if reading.algorithm == "mapping":
        _fill_in_mapping(reading, draft, problems)
    resource = reading.search.get("resource")
    given = None if resource is None else resource.get("name")
    for static in reading.statics.values():
        if static.name in draft.names or static.name == given:
            _say_of_static(static, reading, problems)
        elif static.value is MISSING:
            message = f"{static.name} must have a value: a default, or one of the search"
            problems.error(static.path, message, at_key=True)
            draft.broken.add(static.name)
        elif not is_template(static.value):
            _put(static.name, Constant(value=static.value), static.path, draft, problems)


def _put(
    name: str, distribution: Distribution, path: Path, draft: Draft, problems: Problems
) -> None:
    problems.relocate({("space", name): path})
    values = {"name": name, "distribution": distribution}
    parameter = build(Parameter, values, path, problems)
    if parameter is None:
        draft.broken.add(name)
    else:
        draft.parameters[name] = parameter


def _say_of_static(static: Static, reading: Reading, problems: Problems) -> None:
    """
    Warn of a value that the search overrides; newer inputs are made for that.
    """
    if static.value is MISSING or static.value is None or (reading.is_new and static.is_input):
        return
    message = f"has no effect: the search gives {static.name} its values"
    if not reading.is_new:
        message += "; Polyaxon would take this one"
    problems.warn(static.path, message, at_key=True)


def _fill_in_mapping(reading: Reading, draft: Draft, problems: Problems) -> None:
    """
    Let each parameter of a mapping take the values that it has there.
    """
    rows = reading.rows
    path = reading.search.place("values")
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        lacking = [index for index, row in rows.items() if name not in row]
        for index in lacking:
            message = f"has no {name}, which has no value there"
            problems.warn((*path, index), message, at_key=True)
        column = [row.get(name) for row in rows.values()]
        values = list({canonical(value): value for value in column}.values())
        first = next(index for index, row in rows.items() if name in row)
        _put(name, Categorical(choices=tuple(values)), (*path, first, name), draft, problems)
