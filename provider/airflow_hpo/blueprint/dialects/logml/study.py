"""
From a config of Log(ML) to the parts of a study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks import Draft
from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.logml.keys import OWN_SECTION, SEARCH, SEARCH_SECTION
from airflow_hpo.blueprint.dialects.logml.space import read_parameters
from airflow_hpo.blueprint.dialects.logml.trial import read_trial
from airflow_hpo.blueprint.dialects.own import OWN, places_of, read_own, study_name
from airflow_hpo.model.blueprint import DagSpec, Execution, StrategySpec
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.stop import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.dialects.logml.space import Found
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["read_draft"]

_STRATEGIES = {"tpe": "hyperopt_tpe", "random": "hyperopt_random"}

# So many there are where the config does not say it.
_EVALUATIONS = 100


def read_draft(data: Mapping[str, Value], problems: Problems) -> Draft:
    """
    Return the parts of the study in a config.
    """
    search = SEARCH_SECTION.read(data[SEARCH], (SEARCH,), problems)
    own = read_own(data, OWN_SECTION, problems)
    found = read_parameters(data, problems)
    metric = own.get("metric", "loss")
    problems.relocate(
        {
            ("strategy",): (SEARCH,),
            ("strategy", "name"): (SEARCH, "algorithm"),
            ("strategy", "options"): (SEARCH, "space"),
            ("budget",): (SEARCH,),
            ("budget", "trials"): (SEARCH, "max_evals"),
            ("execution",): (OWN,),
            **places_of(own),
        }
    )
    _say_of_search(data[SEARCH], problems)
    draft = Draft(
        name=own.get("name") or study_name(problems, _model_name(data), otherwise="logml"),
        objectives=(
            Objective(metric=metric, direction="minimize", value=own.get("value", "last")),
        ),
        parameters=found.parameters,
        broken=found.broken,
        strategy=_strategy(search, found, problems),
        budget=Budget(trials=search.get("max_evals", _EVALUATIONS)),
        dag=DagSpec(),
        trial=read_trial(data, own, found, metric, problems),
    )
    draft.execution = Execution(batch_size=own.get("batch_size", 1))
    _warn_of_datasets(own, found, problems)
    return draft


def _say_of_search(given: Mapping[str, Value], problems: Problems) -> None:
    if "max_evals" not in given:
        message = f"max_evals should be given; it is {_EVALUATIONS}"
        problems.warn((SEARCH,), message, hint=f"write max_evals: {_EVALUATIONS}", at_key=True)
    if given.get("show_progressbar") is True:
        message = "has no effect: Airflow shows how far a study is"
        problems.warn((SEARCH, "show_progressbar"), message)


def _strategy(search: Mapping[str, Any], found: Found, problems: Problems) -> StrategySpec | None:
    # As Log(ML) calls HyperOpt: a configuration may come twice, parameters
    # are drawn in the order of their bare names.
    options = {"repeats": True, "expressions": found.expressions, "labels": found.labels}
    values = {
        "name": _STRATEGIES[search.get("algorithm", "tpe")],
        "seed": search.get("random_seed"),
        "options": {name: value for name, value in options.items() if value},
    }
    return build(StrategySpec, values, (SEARCH,), problems)


def _model_name(data: Mapping[str, Value]) -> Value:
    model = data.get("model")
    return model.get("model_name") if isinstance(model, dict) else None


def _warn_of_datasets(own: Mapping[str, Any], found: Found, problems: Problems) -> None:
    if own.get("batch_size", 1) > 1 and not found.makes_datasets:
        problems.warn(
            (OWN, "batch_size"),
            "lets the first trials make the dataset's file at the same time",
            hint="run the program once before, without a search, so that the file is there",
        )
