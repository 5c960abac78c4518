"""
The tasks of the mode async: open the study, one slot a trial, settle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.driver import evaluate_round, trial_label
from airflow_hpo.hooks.compat import AirflowSkipException, DownstreamTasksSkipped
from airflow_hpo.operators.base import BlueprintLike, StudyOperator, round_states
from airflow_hpo.operators.evaluate import ENDED, round_answer
from airflow_hpo.operators.notify import announce_from
from airflow_hpo.operators.suggest import SuggestOperator
from airflow_hpo.operators.trial import TrialOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_hpo.model.trial import Trial
    from airflow_hpo.study import Study

__all__ = ["SLOT_INDEX_TEMPLATE", "OpenOperator", "SettleOperator", "SlotOperator"]

# Where a slot leaves its trial's label for Airflow's grid.
_LABEL = "hpo_label"

SLOT_INDEX_TEMPLATE = f"{{{{ {_LABEL} | default('slot ' ~ task.slot) }}}}"
"""Shows a slot by the trial that it runs: ``#7 lr=0.0013 hidden=64``."""


class OpenOperator(SuggestOperator):
    """
    Open the study that the slots work on, creating it where it is new.

    **How it works.** Checks this run's settings and the study before anything
    runs, and keeps the plan with the study.

    **What it does not do.** It asks for no trial: each slot does when it starts.

    **Known limitation.** The number of slots is fixed when the DAG is parsed:
    what a person wants less of ends at once, more than that there cannot be.

    Args:
        blueprint: What to optimise, as plain data.

        kwargs: See `SuggestOperator`.
    """

    def _ask(self, study: Study, context: Context) -> Sequence[Trial]:
        del context
        study.decide()  # where its budget was raised since, it goes on
        return ()

    def _check(self, study: Study) -> None:
        del study


class SlotOperator(TrialOperator):
    """
    Ask for one trial, run it and tell the study how it ended.

    **How it works.** One instance of a mapped task: Airflow starts the next as
    soon as one has ended, so no trial waits for another. The trial belongs to
    the slot: a retried or cleared slot runs the same one again. Where the study
    has ended, the slots that have not begun are skipped in one go.

    **What it does not do.** It waits for nothing: a slot that finds nothing to
    do is skipped.

    **Known limitation.** See `TrialOperator`.

    Args:
        blueprint: What to run and where, as plain data.

        slot: 0, 1, 2 ... over all tasks of slots.

        others: Number of slots of each task of slots, by its name.

        kwargs: See `StudyOperator`.
    """

    template_fields: Sequence[str] = (*StudyOperator.template_fields, "op_kwargs")

    def __init__(
        self,
        *,
        blueprint: BlueprintLike,
        slot: int,
        others: Mapping[str, int] | None = None,
        **kwargs: Any,  # noqa: ANN401 - StudyOperator's own
    ) -> None:
        super().__init__(blueprint=blueprint, trial={}, **kwargs)
        self.slot = slot
        self.others = others

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Return number, state and objective values of a complete trial.
        """
        with self.opened() as study:
            trial = self._asked(study, context)
            if trial is None:
                return self._nothing(study, context)
            label = trial_label(
                trial.number, trial.configuration, study.blueprint, resource=trial.resource
            )
        context[_LABEL] = label  # type: ignore[literal-required]  # for Airflow's grid
        self.log.info("Trial %s", label)
        self.trial = {"number": trial.number, "label": label, "study": self.study.strip()}
        answer = super().execute(context)
        with self.opened() as study:
            stop = study.record().stop
            if stop is not None:
                self.log.info("The study has ended: %s", stop.reason)
                self._skip_others(study, context, answer)
        return answer

    def _number(self, study: Study, context: Context) -> int:
        return study.ask(1, key=_slot_key(context))[0].number

    def _asked(self, study: Study, context: Context) -> Trial | None:
        """
        Return the slot's trial, asking for one unless it has one; `None` for nothing.
        """
        trials = study.ask(1, key=_slot_key(context))
        return trials[0] if trials else None

    def _nothing(self, study: Study, context: Context) -> dict[str, Any]:
        """
        Skip the slot, and with it all others where none of them will find anything.
        """
        record = study.record()
        if record.stop is None and study.remaining(record) > 0:
            raise AirflowSkipException("there is nothing to try before running trials have ended")
        reason = record.stop.reason if record.stop else "all trials of the budget have begun"
        context[_LABEL] = "no trial"  # type: ignore[literal-required]
        self.log.info("No trial: %s", reason)
        answer: dict[str, Any] = {"number": None, "state": None, "values": None}
        self._skip_others(study, context, answer)
        return answer

    def _skip_others(self, study: Study, context: Context, answer: dict[str, Any]) -> None:
        """
        Have all slots skipped that have not begun.

        One that has a trial looks after it itself, also while it is deferred.
        """
        ti = context["ti"]
        begun = set(study.storage.keys(study.name))
        rest = [
            (task_id, index)
            for task_id, count in (self.others or {}).items()
            for index in range(count)
            if (task_id, index) != (ti.task_id, ti.map_index)
            and f"{ti.dag_id}/{ti.run_id}/{task_id}/{index}" not in begun
        ]
        if rest:
            # Skipping is done by raising, and what is raised returns nothing.
            ti.xcom_push(key="return_value", value=answer)
            raise DownstreamTasksSkipped(tasks=rest)  # type: ignore[no-untyped-call]


def _slot_key(context: Context) -> str:
    """
    Return what a slot asks with: the same at every try.
    """
    ti = context["ti"]
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"


class SettleOperator(StudyOperator):
    """
    Look at the slots once all have ended, and decide.

    **How it works.** Runs whatever became of the slots (``all_done``). Trials
    whose task ended without telling are told as failed.

    **What it does not do.** It ends no trial and runs none.

    **Known limitation.** Where the study could not be opened there is nothing
    to look at; `ReportOperator` fails the run.

    Args:
        blueprint: What is optimised, as plain data.

        slots: The tasks of slots.

        kwargs: See `StudyOperator`.
    """

    ui_color = "#fdf3d6"

    def __init__(
        self,
        *,
        blueprint: BlueprintLike,
        slots: Sequence[str] = (),
        **kwargs: Any,  # noqa: ANN401 - StudyOperator's own
    ) -> None:
        kwargs.setdefault("trigger_rule", "all_done")
        super().__init__(blueprint=blueprint, **kwargs)
        self.slots = slots

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Return the run's trials by state, the best and the stop.
        """
        with self.opened() as study:
            own = self._own(study, context)
            states: dict[str, str] = {}

            def state_of(trial: Trial) -> str:
                if not states:  # asked for only if a trial is missing
                    states.update(round_states(context, self.slots))
                return states.get(own[trial.number], "removed")

            def lost(trial: Trial) -> str | None:
                state = state_of(trial)
                return f"its task ended as {state} and told nothing" if state in ENDED else None

            def passed(trial: Trial) -> bool:
                return state_of(trial) == "success"

            result = evaluate_round(study, list(own), lost=lost, passed=passed)
            answer = round_answer(0, result, study)
            announce_from(context, study)
        counts = ", ".join(f"{count} {state}" for state, count in answer["states"].items())
        self.log.info("Trials: %s", counts or "none")
        if result.stop is not None:
            self.log.info("The study has ended: %s", result.stop.reason)
        return answer

    def _own(self, study: Study, context: Context) -> dict[int, str]:
        """
        Return this run's trials, each with the task instance that runs it.
        """
        ti, found = context["ti"], dict[int, str]()
        for trial in study.record().trials:
            for task_id in self.slots:
                begin = f"{ti.dag_id}/{ti.run_id}/{task_id}/"
                if trial.key.startswith(begin):
                    found[trial.number] = f"{task_id}_{trial.key.removeprefix(begin)}"
        return found
