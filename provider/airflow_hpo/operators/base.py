"""
What the operators of one DAG run share: blueprint, study name and settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from airflow.sdk import BaseOperator

from airflow_hpo.blueprint.settings import apply_settings, read_settings
from airflow_hpo.errors import StudyError, TrialInvalidError
from airflow_hpo.hooks.compat import AirflowFailException
from airflow_hpo.hooks.study import StudyHook
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.study import Study

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow.sdk import Context

__all__ = ["BlueprintLike", "SealedBlueprint", "StudyOperator", "fails_for_good", "round_states"]

# How many task ids one question about states names at most: they travel in a URL.
_IDS_PER_QUESTION = 100


@dataclass(frozen=True, slots=True, repr=False)
class SealedBlueprint:
    """
    A blueprint that Airflow writes down as its name and checksum only.

    A mapped task's arguments become part of the serialised DAG, once a round;
    the blueprint itself stands in the DAG's documentation already. The
    checksum makes a changed blueprint a new version of the DAG.

    Args:
        blueprint: What the operators run.
    """

    blueprint: Blueprint

    def __repr__(self) -> str:
        """
        Return name, dialect and checksum: the same in every process.
        """
        source = self.blueprint.source
        checksum = f" {source.sha256[:16]}" if source.sha256 else ""
        return f"{self.blueprint.name} ({source.dialect}{checksum})"


BlueprintLike: TypeAlias = "Mapping[str, Any] | Blueprint | SealedBlueprint"
"""A blueprint as JSON-compatible data, or as the factory hands it over."""


class StudyOperator(BaseOperator):
    """
    The base of all tasks that work on a study.

    **How it works.** *study* and *settings* are templates, so that every task
    of a run renders the same name and the same settings from the run itself;
    nothing is handed from task to task. Blueprint, connection and storage are
    resolved when the task runs.

    **What it does not do.** It does not change the blueprint: *settings* hold
    for this run alone.

    **Known limitation.** The blueprint is the one that this task's process
    parsed. Where it is edited while a run goes on, later tasks see the edit.

    Args:
        blueprint: What to optimise, as plain data.

        study:
            The study's name (templated); the DAG's and the run's ids by
            default. A fixed name continues that study.

        settings:
            What a person chose for this run: ``trials``, ``batch_size``,
            ``seed``, ``strategy``, ``target``, ``warm_start`` and ``space``
            (templated; see `Settings`). Empty or ``None`` keeps what the
            blueprint says.

        hpo_conn_id: The Airflow connection to the journal; see `StudyHook`.
    """

    template_fields: Sequence[str] = ("study", "settings")
    template_fields_renderers: ClassVar[dict[str, str]] = {"settings": "json"}
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        blueprint: BlueprintLike,
        study: str = "{{ dag.dag_id }}-{{ run_id }}",
        settings: Mapping[str, Any] | None = None,
        hpo_conn_id: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - BaseOperator's own
    ) -> None:
        super().__init__(**kwargs)
        self.blueprint = blueprint
        self.study = study
        self.settings = settings
        self.hpo_conn_id = hpo_conn_id

    @property
    def hook(self) -> StudyHook:
        """
        The way to journal and files.
        """
        return StudyHook(self.hpo_conn_id)

    def resolve(self) -> Blueprint:
        """
        Return the blueprint with this run's settings.

        Raises:
            AirflowFailException: With every setting that is wrong.
        """
        given = self.blueprint
        if isinstance(given, SealedBlueprint):
            given = given.blueprint
        blueprint = given if isinstance(given, Blueprint) else Blueprint.model_validate(given)
        with fails_for_good():
            return apply_settings(blueprint, read_settings(self.settings or {}))

    @contextmanager
    def opened(self) -> Iterator[Study]:
        """
        Lend the study; it need not exist yet.

        Errors that the next try would meet again fail the task for good.
        """
        with fails_for_good():
            name = self.study.strip()
            if not name:
                raise StudyError(f"a study's name must not be empty, got {self.study!r}")
            self.hook.tell_runners()
            storage = self.hook.storage()
            try:
                yield Study(storage, name, self.resolve())
            finally:
                storage.close()


@contextmanager
def fails_for_good() -> Iterator[None]:
    """
    Turn errors that will come again the same way into failures without retry.

    A value error is one of them: a name, a key or a blueprint that is refused.
    """
    try:
        yield
    except (StudyError, TrialInvalidError, ValueError) as error:
        raise AirflowFailException(str(error)) from error


def round_states(context: Context, task_ids: Sequence[str]) -> dict[str, str]:
    """
    Return the states of this run's task instances, by task id.

    An instance of a mapped task is called ``task_id_INDEX``; one that has no
    state yet may be missing.
    """
    ti, states = context["ti"], dict[str, str]()
    for start in range(0, len(task_ids), _IDS_PER_QUESTION):
        found = ti.get_task_states(
            dag_id=ti.dag_id,
            task_ids=list(task_ids[start : start + _IDS_PER_QUESTION]),
            run_ids=[ti.run_id],
        )
        states |= found.get(ti.run_id) or {}
    return states
