"""
The first task of a round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.driver import suggest_round, trial_label
from airflow_hpo.errors import StudyError, StudyNotFoundError
from airflow_hpo.hooks.compat import conf
from airflow_hpo.model.ladder import Place
from airflow_hpo.operators.base import BlueprintLike, StudyOperator
from airflow_hpo.plan import make_plan
from airflow_hpo.study import Study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_hpo.model.trial import Trial

__all__ = ["SuggestOperator"]


class SuggestOperator(StudyOperator):
    """
    Ask the study for the trials of one round.

    **How it works.** Opens the study, creating it where it is new, and asks
    for as many trials as a batch has. The answer is kept under this task's
    name within its run: a task that is retried or cleared returns the same
    trials. The returned list is what `TrialOperator` is mapped over.

    **What it does not do.** It runs nothing, and where the study has ended it
    does not fail: the list is empty and the log says why.

    **Known limitation.** The number of rounds is fixed when the DAG is parsed,
    so settings that would need more of them are refused.

    Args:
        blueprint: What to optimise, as plain data.

        round: 0, 1, 2 ...

        rounds: How many of them the DAG has; not checked by default.

        place: The rung of a ladder that the round is: iteration, bracket, rung.

        search: What tells it from other searches of the same DAG.

        kwargs: See `StudyOperator`.
    """

    def __init__(
        self,
        *,
        blueprint: BlueprintLike,
        round: int = 0,  # noqa: A002 - the word that the rest of the package uses
        rounds: int | None = None,
        place: Sequence[int] | None = None,
        search: str = "",
        **kwargs: Any,  # noqa: ANN401 - StudyOperator's own
    ) -> None:
        super().__init__(blueprint=blueprint, **kwargs)
        self.round = round
        self.rounds = rounds
        self.place = place
        self.search = search

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """
        Return number, label and study of each trial of the round.
        """
        with self.opened() as study:
            self._check(study)
            blueprint = study.blueprint
            plan = make_plan(blueprint).to_dict()
            Study.open(study.storage, study.name, blueprint, plan=plan)
            study.belong(_interval(context, self.search))
            trials = self._ask(study, context)
            for note in study.past():
                self.log.info("%s", note)
            labels = [
                trial_label(t.number, t.configuration, blueprint, resource=t.resource)
                for t in trials
            ]
        for label in labels:
            self.log.info("Suggested %s", label)
        return [
            {"number": trial.number, "label": label, "study": study.name}
            for trial, label in zip(trials, labels, strict=True)
        ]

    def _ask(self, study: Study, context: Context) -> Sequence[Trial]:
        """
        Return the trials of the round.
        """
        ti, only, count = context["ti"], None, study.blueprint.execution.batch_size
        if self.place is not None:
            # The table says how many: more than the budget there never are.
            only, count = Place(*self.place), study.blueprint.budget.trials
        key = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}"
        trials = suggest_round(study, count, key=key, only=only)
        if not trials:
            stop = study.record().stop
            nothing = "the budget is spent" if only is None else "nobody moved up to this rung"
            self.log.info("No trials: %s", stop.reason if stop else nothing)
        return trials

    def _check(self, study: Study) -> None:
        """
        Refuse settings that this DAG has no room for, before anything runs.
        """
        if self.place is not None:
            return  # the table is fixed when the DAG is parsed
        batch, trials = study.blueprint.execution.batch_size, study.blueprint.budget.trials
        limit = conf.getint("core", "max_map_length", fallback=1024)
        if batch > limit:
            raise StudyError(
                f"batch_size must not exceed Airflow's [core] max_map_length = {limit}, got {batch}"
            )
        if self.round != 0 or self.rounds is None or self.rounds * batch >= trials:
            return
        try:
            left = study.remaining(study.record())
        except StudyNotFoundError:
            left = trials
        if left > self.rounds * batch:
            raise StudyError(
                f"{self.rounds} rounds of {batch} trials must be enough for the trials that are "
                f"left, got {left}; choose a batch_size of at least {-(-left // self.rounds)}, "
                f"or at most {self.rounds * batch} trials"
            )


def _interval(context: Context, search: str) -> dict[str, Any]:
    """
    Return which run this is, and which moment it is about.
    """
    ti, run = context["ti"], context["dag_run"]
    # Runs that a person or an asset starts are about the moment when they start.
    moments = (run.data_interval_end, run.logical_date, run.run_after)
    at = next(moment for moment in moments if moment is not None)
    return {"dag": ti.dag_id, "search": search, "run": ti.run_id, "at": at.timestamp()}
