"""
The last task of the DAG.
"""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver import keep, location, portrait, study_folder
from airflow_hpo.errors import StudyError
from airflow_hpo.hooks.compat import AirflowFailException, AirflowSkipException
from airflow_hpo.model.trial import TrialState
from airflow_hpo.operators.base import BlueprintLike, StudyOperator, round_states
from airflow_hpo.operators.links import ReportLink
from airflow_hpo.operators.notify import announce_from
from airflow_hpo.report import report_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_hpo.model.record import StudyRecord
    from airflow_hpo.study import Study

__all__ = ["ReportOperator"]


class ReportOperator(StudyOperator):
    """
    Write the study's report and return its summary.

    **How it works.** Runs whatever became of the rounds (``all_done``), writes
    a page with charts, JSON, Markdown, CSV and Parquet into the study's folder,
    and logs the Markdown. The summary is the DAG's result; the folder is the
    XCom ``report``, the Markdown the XCom ``summary``, and the button *Report*
    of this task leads to the page. Then it fails, and with it the run, if a
    task of a round failed or if the blueprint says ``on_failure:
    continue_then_fail`` and a trial did.

    **What it does not do.** It decides nothing: a study that is still open is
    reported as it stands.

    **Known limitation.** The report is written where this task runs; with
    several machines the artifacts' folder has to be one that they share.

    Args:
        blueprint: What was optimised, as plain data.

        watched: Tasks whose failure fails the run: all suggest and evaluate tasks.

        hand_over:
            Whether other tasks go on with the best trial: it is the XCom ``best``,
            its parameters ``best_params``, each one ``best_params.NAME``; and
            where there is none, this task fails.

        kwargs: See `StudyOperator`.
    """

    ui_color = "#ead9f7"
    operator_extra_links = (ReportLink(),)

    def __init__(
        self,
        *,
        blueprint: BlueprintLike,
        watched: Sequence[str] = (),
        hand_over: bool = False,
        **kwargs: Any,  # noqa: ANN401 - StudyOperator's own
    ) -> None:
        kwargs.setdefault("trigger_rule", "all_done")
        super().__init__(blueprint=blueprint, **kwargs)
        self.watched = watched
        self.hand_over = hand_over

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Return the study's summary.
        """
        ti, broken = context["ti"], self._broken(context)
        if self._was_passed_over(context):
            raise AirflowSkipException("the search was skipped, by what stands before it")
        with self.opened() as study:
            try:
                record = study.record()
            except StudyError as error:
                raise StudyError("; ".join([str(error), *broken])) from error
            announce_from(context, study)
            folder = study_folder(self.hook.artifacts(), study.name) / "report"
            files = report_on(study, folder)
            keep(folder, astuple(files))
            broken += self._failed_trials(context, study, record)
            if self.hand_over:
                broken += self._handed_over(context, study)
        markdown = files.markdown.read_text("utf-8")
        self.log.info("%s", markdown)
        self.log.info("The report lies in %s", location(folder))
        ti.xcom_push(key="report", value=location(folder))
        ti.xcom_push(key="summary", value=markdown)
        # XComs know no NaN and no infinity: they become words.
        text = files.summary.read_text("utf-8")
        summary: dict[str, Any] = json.loads(text, parse_constant=str)
        if broken:
            # What is raised returns nothing, and the summary is wanted anyway.
            ti.xcom_push(key="return_value", value=summary)
            raise AirflowFailException("; ".join(broken))
        return summary

    def _was_passed_over(self, context: Context) -> bool:
        """
        Return whether nothing of the search was run, and nothing of it failed.
        """
        states = round_states(context, self.watched)
        return bool(self.watched) and all(states.get(each) == "skipped" for each in self.watched)

    def _handed_over(self, context: Context, study: Study) -> list[str]:
        """
        Give the best trial to other tasks; returns what keeps it from that.
        """
        best = study.best()
        if best is None:
            return ["no trial is complete, so there is no best one"]
        found, ti = portrait(study, best, self.hook.artifacts()), context["ti"]
        ti.xcom_push(key="best", value=found)
        ti.xcom_push(key="best_params", value=found["parameters"])
        for name, value in found["parameters"].items():
            ti.xcom_push(key=f"best_params.{name}", value=value)
        return []

    def _broken(self, context: Context) -> list[str]:
        """
        Return what went wrong in the rounds' own tasks, a line each.
        """
        states = round_states(context, self.watched)
        return [f"{name} failed" for name in self.watched if states.get(name) == "failed"]

    def _failed_trials(self, context: Context, study: Study, record: StudyRecord) -> list[str]:
        if record.stop is not None and record.stop.rule == "on_failure":
            return [record.stop.reason]
        if study.blueprint.trial.on_failure != "continue_then_fail":
            return []
        ti = context["ti"]
        # Of this run only: a fixed study has those of earlier runs too.
        own = f"{ti.dag_id}/{ti.run_id}/"
        return [
            f"trial {trial.number} failed: {trial.reason}"
            for trial in record.trials
            if trial.state is TrialState.FAILED and trial.key.startswith(own)
        ]
