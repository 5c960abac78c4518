"""
The tasks about a champion: try it, ask a person, and publish the best trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from airflow_hpo.driver import judge_champion, portrait, promote, suggest_champion, to_promote
from airflow_hpo.hooks.compat import AirflowSkipException
from airflow_hpo.operators.base import BlueprintLike, StudyOperator
from airflow_hpo.operators.evaluate import EvaluateOperator
from airflow_hpo.operators.suggest import SuggestOperator
from airflow_hpo.report import summarise, summary_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_hpo.driver import RoundResult
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["ChallengeOperator", "NominateOperator", "PromoteOperator", "VerdictOperator"]


class ChallengeOperator(SuggestOperator):
    """
    Ask for the one trial that tries the champion on the new data.

    **How it works.** Takes what was promoted last before this run's interval,
    and asks for its configuration: the study's first trial. It counts for the
    budget, and what it measures teaches the strategy.

    **What it does not do.** It decides nothing: see `VerdictOperator`.

    **Known limitation.** Where there is no champion yet, or it does not fit the
    search space any more, there is no trial, and the log says why.

    Args:
        blueprint: What to optimise, as plain data.

        kwargs: See `SuggestOperator`.
    """

    def _ask(self, study: Study, context: Context) -> Sequence[Trial]:
        ti = context["ti"]
        study.decide()
        trials, words = suggest_champion(study, key=f"{ti.dag_id}/{ti.run_id}/{ti.task_id}")
        self.log.info("%s", words)
        return trials

    def _check(self, study: Study) -> None:
        del study


class VerdictOperator(EvaluateOperator):
    """
    Look at the champion's trial, and spare the search where it still holds.

    **How it works.** Compares what the champion is worth on the new data with
    what it was worth when it was promoted. Within the blueprint's tolerance
    the study ends, and the tasks of the search are skipped.

    **What it does not do.** It promotes nothing: the champion stays.

    **Known limitation.** See `EvaluateOperator`.

    Args:
        blueprint: What is optimised, as plain data.

        kwargs: See `EvaluateOperator`.
    """

    def _judged(self, study: Study, result: RoundResult, numbers: Sequence[int]) -> RoundResult:
        stop, words = judge_champion(study, numbers)
        self.log.info("%s", words)
        return result.ending(stop)


class NominateOperator(StudyOperator):
    """
    Put the question to a person: shall this trial become the champion?

    **How it works.** Returns the best trial, and leaves ``subject`` and
    ``question``, the study's summary, for the task that asks.

    **What it does not do.** Where there is nothing to promote it asks nobody:
    it is skipped, and so is what follows.

    **Known limitation.** The summary is as it was when this task ran.

    Args:
        blueprint: What was optimised, as plain data.

        kwargs: See `StudyOperator`.
    """

    ui_color = "#ead9f7"

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Return the trial that is to become the champion.
        """
        with self.opened() as study:
            best, words = to_promote(study)
            if best is None:
                raise AirflowSkipException(f"nothing is promoted: {words}")
            found = portrait(study, best, self.hook.artifacts())
            question = summary_markdown(summarise(study.record(), study.blueprint))
        ti = context["ti"]
        ti.xcom_push(key="subject", value=f"Promote trial {best.number} of {study.name}?")
        ti.xcom_push(key="question", value=question)
        return found


class PromoteOperator(StudyOperator):
    """
    Publish the best trial as an asset, so that other DAGs run on it.

    **How it works.** Keeps the promotion in the journal, and gives the asset's
    event what there is to know in its ``extra``: parameters, value, study, trial,
    DAG, run and the folder of the trial's files. Where Airflow keeps state with
    assets, ``champion`` has the same.

    **What it does not do.** Where the champion still holds, or no trial is
    complete, there is no event: the task is skipped.

    **Known limitation.** Of several objectives the first one tells the best.

    Args:
        blueprint: What was optimised, as plain data.

        asset: URI of the asset.

        approval: The task that asked a person, if one did.

        kwargs: See `StudyOperator`.
    """

    ui_color = "#f7e2b5"

    def __init__(
        self,
        *,
        blueprint: BlueprintLike,
        asset: str,
        approval: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - StudyOperator's own
    ) -> None:
        kwargs.setdefault("outlets", [Asset(asset)])
        super().__init__(blueprint=blueprint, **kwargs)
        self.asset = asset
        self.approval = approval

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Return what the asset's event carries.
        """
        ti = context["ti"]
        with self.opened() as study:
            best, words = to_promote(study)
            if best is None:
                raise AirflowSkipException(f"nothing is promoted: {words}")
            data = {
                **portrait(study, best, self.hook.artifacts()),
                "asset": self.asset,
                "dag": ti.dag_id,
                "run": ti.run_id,
                **self._approved(context),
            }
            key = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{best.number}/{best.values}"
            found = promote(study, data, key=key)
        self._publish(context, found)
        self.log.info("%s is now trial %d of %s", self.asset, best.number, study.name)
        return found

    def _approved(self, context: Context) -> dict[str, Any]:
        """
        Return who allowed it, where somebody was asked.
        """
        if self.approval is None:
            return {}
        answer = context["ti"].xcom_pull(task_ids=self.approval) or {}
        person = answer.get("responded_by_user") or {}
        return {"approved_by": person.get("name") if isinstance(person, dict) else str(person)}

    def _publish(self, context: Context, found: dict[str, Any]) -> None:
        asset = Asset(self.asset)
        context["outlet_events"][asset].extra = found
        store = context.get("asset_state_store")  # Airflow 3.3
        if store is not None:
            store[asset].set("champion", found)
