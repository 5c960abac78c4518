"""
The last task of a round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.driver import evaluate_round, trial_label
from airflow_hpo.hooks.compat import AirflowSkipException, DownstreamTasksSkipped
from airflow_hpo.operators.base import BlueprintLike, StudyOperator, round_states
from airflow_hpo.operators.notify import announce_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_hpo.driver import RoundResult
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["ENDED", "EvaluateOperator", "round_answer"]

# States of a task instance after which it tells nothing any more.
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class EvaluateOperator(StudyOperator):
    """
    Look at a round that has ended, and end the study where it is time.

    **How it works.** Runs whatever became of the trials (``all_done``). Trials
    whose task ended without telling are told as failed. If the study has to
    end, the tasks of later rounds are skipped, so that the report comes next.
    In a run that was cleared, rounds that ran before run again.

    **What it does not do.** It ends no trial that is running: trials look
    after that themselves, and it comes when all of them have ended.

    **Known limitation.** Where the round's suggest task failed, this task
    succeeds nonetheless, to skip what is left in one go; `ReportOperator`
    fails the run.

    Args:
        blueprint: What is optimised, as plain data.

        round: 0, 1, 2 ...

        suggest_task_id: The round's `SuggestOperator`.

        trial_task_id: The round's mapped `TrialOperator`.

        later: Suggest, trial and evaluate task of each later round.

        kwargs: See `StudyOperator`.
    """

    ui_color = "#fdf3d6"

    def __init__(
        self,
        *,
        blueprint: BlueprintLike,
        suggest_task_id: str,
        trial_task_id: str,
        round: int = 0,  # noqa: A002 - the word that the rest of the package uses
        later: Sequence[Sequence[str]] = (),
        **kwargs: Any,  # noqa: ANN401 - StudyOperator's own
    ) -> None:
        kwargs.setdefault("trigger_rule", "all_done")
        super().__init__(blueprint=blueprint, **kwargs)
        self.round = round
        self.suggest_task_id = suggest_task_id
        self.trial_task_id = trial_task_id
        self.later = later

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Return the round's number, its trials by state, the best and the stop.
        """
        suggested = self._suggested(context)
        if suggested is None:
            self.log.error("%s failed: later rounds are skipped", self.suggest_task_id)
            nothing = {"round": self.round, "states": {}, "best": None, "stop": None}
            return self._leave(context, nothing, skipped=self.later)
        with self.opened() as study:
            numbers = [element["number"] for element in suggested]
            lost, artifacts = self._lost(context, numbers), self.hook.artifacts()
            result = evaluate_round(
                study,
                numbers,
                lost=lost,
                passed=self._passed(context, numbers),
                artifacts=artifacts,
            )
            result = self._judged(study, result, numbers)
            answer = round_answer(self.round, result, study)
            self._log(answer, result, study)
            announce_from(context, study)
            skipped = [] if result.stop is None else self._unasked(context, study)
        return self._leave(context, answer, skipped=skipped)

    def _judged(self, study: Study, result: RoundResult, numbers: Sequence[int]) -> RoundResult:
        """
        Return *result* with what else there is to say of the trials *numbers*.
        """
        del study, numbers
        return result

    def _suggested(self, context: Context) -> list[dict[str, Any]] | None:
        """
        Return the round's trials; `None` where suggesting them failed.
        """
        ti = context["ti"]
        suggested: list[dict[str, Any]] | None = ti.xcom_pull(task_ids=self.suggest_task_id)
        if suggested is not None:
            return suggested
        state = round_states(context, [self.suggest_task_id]).get(self.suggest_task_id)
        if state in {"failed", "upstream_failed"}:
            return None
        raise AirflowSkipException(f"{self.suggest_task_id} did not run")

    def _lost(self, context: Context, numbers: Sequence[int]) -> Callable[[Trial], str | None]:
        """
        Return the function that tells why a trial's task will never tell.
        """
        states: dict[str, str] = {}
        index_of = {number: index for index, number in enumerate(numbers)}

        def lost(trial: Trial) -> str | None:
            if not states:  # asked for only if a trial is missing
                states.update(round_states(context, [self.trial_task_id]))
            state = states.get(f"{self.trial_task_id}_{index_of[trial.number]}", "removed")
            return f"its task ended as {state} and told nothing" if state in ENDED else None

        return lost

    def _passed(self, context: Context, numbers: Sequence[int]) -> Callable[[Trial], bool]:
        """
        Return the function that tells whether a trial's task is marked as success.
        """
        states: dict[str, str] = {}
        index_of = {number: index for index, number in enumerate(numbers)}

        def passed(trial: Trial) -> bool:
            if not states:
                states.update(round_states(context, [self.trial_task_id]))
            return states.get(f"{self.trial_task_id}_{index_of[trial.number]}") == "success"

        return passed

    def _unasked(self, context: Context, study: Study) -> list[Sequence[str]]:
        """
        Return the later rounds that this run has no trials of yet.

        It has some where it was cleared: whoever did that wants them again.
        """
        ti = context["ti"]
        asked = {trial.key for trial in study.record().trials}
        return [each for each in self.later if f"{ti.dag_id}/{ti.run_id}/{each[0]}" not in asked]

    def _leave(
        self, context: Context, answer: dict[str, Any], *, skipped: Sequence[Sequence[str]]
    ) -> dict[str, Any]:
        """
        Return *answer*, and have the tasks of the rounds *skipped* skipped.
        """
        tasks = [task for each in skipped for task in each]
        if not tasks:
            return answer
        # Skipping is done by raising, and what is raised returns nothing.
        context["ti"].xcom_push(key="return_value", value=answer)
        raise DownstreamTasksSkipped(tasks=tasks)  # type: ignore[no-untyped-call]

    def _log(self, answer: Mapping[str, Any], result: RoundResult, study: Study) -> None:
        states = ", ".join(f"{count} {state}" for state, count in answer["states"].items())
        self.log.info("Round %d: %s", self.round, states or "no trials")
        if result.best is not None:
            label = trial_label(result.best.number, result.best.configuration, study.blueprint)
            self.log.info("Best so far: %s with %s", label, answer["best"]["values"])
        if result.stop is not None:
            self.log.info("The study ends: %s", result.stop.reason)


def round_answer(number: int, result: RoundResult, study: Study) -> dict[str, Any]:
    """
    Return what an evaluated round came to, JSON-compatible.
    """
    best, stop = result.best, result.stop
    metrics = [objective.metric for objective in study.blueprint.objectives]
    return {
        "round": number,
        "states": dict(result.states),
        "best": None
        if best is None
        else {
            "number": best.number,
            "values": dict(zip(metrics, best.values or (), strict=True)),
            "parameters": dict(best.configuration),
        },
        "stop": None
        if stop is None
        else {"rule": stop.rule, "reason": stop.reason, "trial": stop.trial},
    }
