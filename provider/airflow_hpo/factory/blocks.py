"""
What DAG files are made of that ``hpo generate`` has written, beside the operators.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_hpo.blueprint import load_blueprints
from airflow_hpo.errors import BlueprintError, Problem
from airflow_hpo.factory.dag import RETRIES, check_for_airflow, documentation, limits
from airflow_hpo.factory.form import trigger_form
from airflow_hpo.factory.schedule import schedule_of
from airflow_hpo.factory.site import Site, site_of
from airflow_hpo.factory.topology import surround
from airflow_hpo.factory.trials import lay_trials, slot_options, trial_names
from airflow_hpo.plan import make_plan

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from airflow_hpo.operators.report import ReportOperator

__all__ = [
    "RETRIES",
    "Site",
    "documentation",
    "finish",
    "lay_trials",
    "limits",
    "read_site",
    "schedule_of",
    "slot_options",
    "trial_names",
]


def read_site(file: str, blueprint: str, *, name: str, sha256: str) -> Site:
    """
    Return the study that a generated DAG file lays out.

    Args:
        file: The DAG file, ``__file__``.

        blueprint: The blueprint's file, as seen from the DAG file's folder.

        name: Which of the file's blueprints it is.

        sha256: Of the blueprint's text when the DAG file was made.

    Raises:
        BlueprintError: If the blueprint has problems, or was changed since: its
            DAG may have other tasks by now.
    """
    path = (Path(file).parent / blueprint).resolve()
    found = {each.name: each for each in load_blueprints(path)}
    spec = found.get(name)
    if spec is None or spec.source.sha256 != sha256:
        what = "must be as it was when this DAG was generated, and was changed since"
        if spec is None:
            what = f"must hold the blueprint {name}, got {', '.join(found)}"
        hint = f"run: hpo generate {blueprint} -o {Path(file).name}"
        raise BlueprintError([Problem("", what, hint, file=str(path), line=1, column=1)])
    check_for_airflow(spec)
    return site_of(spec, make_plan(spec))


def finish(dag: DAG, site: Site, report: ReportOperator) -> None:
    """
    Give *dag* what all DAGs of studies have: a champion if there is one, its result, its form.

    Args:
        dag: With all tasks of the search.

        site: The study.

        report: The last of those tasks.
    """
    with dag:
        surround(site, report)
        if hasattr(dag, "add_result"):  # Airflow 3.3
            dag.add_result(report.output)
    # Not before the tasks: each would get a copy, which costs more than they do.
    dag.params.update(trigger_form(site.blueprint, site.plan))
    dag.timetable.validate()
