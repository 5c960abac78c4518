"""
The tasks of one trial whose steps have a task each.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_hpo.driver import StepRun, failures_of, has_run, open_key
from airflow_hpo.hooks.compat import AirflowSkipException
from airflow_hpo.operators.trial import TrialOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_hpo.driver import TrialRun
    from airflow_hpo.model.record import Attempt
    from airflow_hpo.model.trial_spec import Retries
    from airflow_hpo.operators.base import BlueprintLike
    from airflow_hpo.study import Study

__all__ = ["OnceOperator", "StepOperator"]


class StepOperator(TrialOperator):
    """
    Run one step of a trial; the last one tells the study how the trial ended.

    **How it works.** The tasks of one trial work on one attempt, one after the
    other, with files in the trial's workspace. Each runs where its step says, and is
    tried again as often as its step says: then the attempt that failed is followed
    by another one, which begins with this step. A task whose trial ends before its
    last step ends as the trial does, and those behind it do not run.

    **What it does not do.** See `TrialOperator`.

    **Known limitation.** Steps on different machines need a workspace that all of
    them see: a common folder, or artifacts in an object storage.

    Args:
        blueprint: What to run and where, as plain data.

        trial: One element of `SuggestOperator`'s answer.

        step: The step's name.

        kwargs: See `TrialOperator`.
    """

    def __init__(
        self,
        *,
        blueprint: BlueprintLike,
        trial: Mapping[str, Any],
        step: str,
        **kwargs: Any,  # noqa: ANN401 - TrialOperator's own
    ) -> None:
        super().__init__(blueprint=blueprint, trial=trial, **kwargs)
        self.step = step

    @property
    def _run_class(self) -> Callable[..., TrialRun]:
        return partial(StepRun, step=self.step)

    def _known_key(self, study: Study, number: int) -> str | None:
        return open_key(study, number, step=self.step)

    def _chances(self, study: Study, number: int) -> tuple[Retries, Sequence[Attempt]]:
        trial = study.blueprint.trial
        own = next(each for each in trial.steps if each.name == self.step)
        return own.retries or trial.retries, failures_of(study, number, step=self.step)


class OnceOperator(StepOperator):
    """
    Run a step that is run once for all trials of a study.

    **How it works.** The first trial of the round runs it, as the first part of its
    attempt; where it has run before, with this very command, nothing is done.

    **What it does not do.** It is not the only one that may run it: a trial that
    finds it undone, as where another machine has no part in the folder, does so.

    **Known limitation.** See `StepOperator`.

    Args:
        blueprint: What to run and where, as plain data.

        trial: `SuggestOperator`'s whole answer.

        kwargs: See `StepOperator`.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Return which trial ran it, if one did.
        """
        suggested: Any = self.trial
        if not suggested:
            raise AirflowSkipException("there are no trials")
        self.trial = suggested[0]
        with self.opened() as study:
            if has_run(study, self.step, self.hook.artifacts()):
                self.log.info("step %s has run already, once for the whole study", self.step)
                return {"number": None, "state": None, "values": None}
        return super().execute(context)
