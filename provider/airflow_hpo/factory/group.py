"""
BLUEPRINT -> TASK GROUP: a search inside another DAG.

::

    with DAG("pipeline", schedule="@daily"):
        search = tune("digits.yaml", trial=train)
        prepare() >> search >> register(search.best)
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from airflow.sdk import TaskGroup, XComArg
from airflow.sdk.definitions.xcom_arg import PlainXComArg

from airflow_hpo.blueprint import load_blueprint, parse_blueprints
from airflow_hpo.factory.callables import Code, code_of
from airflow_hpo.factory.dag import RETRIES, check_for_airflow, documentation
from airflow_hpo.factory.site import Site
from airflow_hpo.factory.topology import lay_out
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.operators.base import StudyOperator
from airflow_hpo.plan import make_plan

if TYPE_CHECKING:
    from airflow_hpo.operators.base import SealedBlueprint
    from airflow_hpo.operators.report import ReportOperator

__all__ = ["BlueprintSource", "Search", "tune"]

BlueprintSource: TypeAlias = Blueprint | Mapping[str, Any] | str | os.PathLike[str]
"""A blueprint, what stands in one, or the file that one stands in."""


class Search(TaskGroup):
    """
    The tasks of one study within a DAG, and what comes out of them.

    Dependencies are set as with any task group, ``prepare() >> search >> deploy()``;
    whoever uses one of its results waits for it by that.
    """

    @property
    def report(self) -> ReportOperator:
        """
        The last task of the study: its XCom is the summary.
        """
        return cast("ReportOperator", self.dag.get_task(f"{self.group_id}.report"))

    @property
    def summary(self) -> XComArg:
        """
        The study's summary, as the report has it.
        """
        return XComArg(self.report)

    @property
    def best(self) -> XComArg:
        """
        The best trial: ``study``, ``trial``, ``parameters``, ``value``, ``values``,
        ``metrics``, ``artifacts``.
        """
        return XComArg(self.report, key="best")

    @property
    def best_params(self) -> BestParameters:
        """
        The best trial's parameters by name; one of them is ``best_params["lr"]``.
        """
        return BestParameters(operator=self.report, key="best_params")


class BestParameters(PlainXComArg):
    """
    The parameters of a search's best trial, whole or one by one.
    """

    def __getitem__(self, item: str) -> XComArg:
        """
        Return the parameter called *item*.

        Raises:
            KeyError: If the search space has no such parameter.
        """
        sealed = cast("SealedBlueprint", cast("ReportOperator", self.operator).blueprint)
        names = sealed.blueprint.space.by_name
        if item not in names:
            hint = did_you_mean(item, names)
            raise KeyError(
                f"a parameter must be one of {', '.join(names)}, got {item!r}"
                + (f"; {hint}" if hint else "")
            )
        return XComArg(self.operator, key=f"{self.key}.{item}")


def tune(
    blueprint: BlueprintSource,
    *,
    trial: Callable[..., Any] | None = None,
    group_id: str | None = None,
    study: str | None = None,
    settings: Mapping[str, str] | None = None,
    hpo_conn_id: str | None = None,
) -> Search:
    """
    Add a search to the DAG at hand, as a task group, and return it.

    Args:
        blueprint:
            What is tuned. A relative file stands beside the Python file that
            calls; a mapping has the keys of a native blueprint. Of its key
            ``dag`` only what is about studies counts: the DAG is yours.

        trial:
            What one trial runs in place of the blueprint's ``trial``, which may
            then be missing: a Python function, or any TaskFlow task, also one
            with options or with arguments that are the same for all trials
            (``train.override(pool="gpu").partial(data=prepare())``). It gets
            the parameters as arguments, and returns its metrics, or an
            operator that does; on the way it tells what it measures by
            `airflow_hpo.measure`, or yields it.

        group_id: The blueprint's name by default, with a suffix if that is taken.

        study:
            Template of the study's name; the blueprint's by default, or else
            one of its own for each run.

        settings: ``trials``, ``batch_size`` and ``seed`` per run, as templates.

        hpo_conn_id: The Airflow connection to the journal.

    Raises:
        BlueprintError: With everything that is wrong with the blueprint.

        ValueError: If Airflow or *trial* does not go with it.
    """
    folder = Path(sys._getframe(1).f_globals.get("__file__") or "x").parent  # noqa: SLF001
    code = None if trial is None else code_of(trial)
    spec = _read(blueprint, folder, code)
    if code is not None:
        spec = code.fit(spec)
    check_for_airflow(spec)
    plan = make_plan(spec)
    group = Search(
        group_id=group_id or re.sub(r"[^\w-]", "_", spec.name),
        add_suffix_on_collision=group_id is None,
        tooltip=spec.description,
        doc_md=documentation(spec, plan),
    )
    own = f"{{{{ dag.dag_id }}}}.{group.group_id}-{{{{ run_id }}}}"
    name = study or spec.study or own
    _refuse_twins(group, name)
    defaults = {"retries": spec.dag.retries, **RETRIES}
    given = group.dag.default_args
    group.default_args.update({key: defaults[key] for key in defaults if key not in given})
    with group:
        lay_out(
            Site(
                spec,
                plan,
                name,
                dict(settings or {}),
                prefix=f"{group.group_id}.",
                options={} if hpo_conn_id is None else {"hpo_conn_id": hpo_conn_id},
                trial={} if code is None else code.options(spec),
                hand_over=True,
            )
        )
    return group


def _read(source: BlueprintSource, folder: Path, code: Code | None) -> Blueprint:
    if isinstance(source, Blueprint):
        return source
    defaults = None if code is None else {"trial": code.stand_in}
    if isinstance(source, Mapping):
        text = json.dumps(source, default=str)
        (found,) = parse_blueprints(text, file="<blueprint>", defaults=defaults)
        return found
    return load_blueprint(folder / Path(source).expanduser(), defaults=defaults)


def _refuse_twins(group: Search, study: str) -> None:
    """
    Refuse a study that another search of the DAG works on as well.
    """
    for task in group.dag.tasks:
        if isinstance(task, StudyOperator) and task.study == study:
            raise ValueError(
                f"each search of a DAG must have a study of its own, got {study!r} in "
                f"{group.group_id!r} and in task {task.task_id!r}; give one of them study=..."
            )
