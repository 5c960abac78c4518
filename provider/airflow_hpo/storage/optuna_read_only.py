"""
A storage of Optuna's that can't be written to: all its writing methods refuse.

Imported where Optuna's tools are wanted and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution  # noqa: TID253 - see above
from optuna.storages import BaseStorage  # noqa: TID253 - see above
from optuna.study import StudyDirection  # noqa: TID253 - see above
from optuna.trial import FrozenTrial, TrialState  # noqa: TID253 - see above

from airflow_hpo.errors import StorageError

__all__ = ["ReadOnlyStorage"]


class ReadOnlyStorage(BaseStorage):
    """
    The writing half of a storage of Optuna's: each method raises `StorageError`.
    """

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """
        Refuse.
        """
        del directions
        _refuse(f"create study {study_name!r}" if study_name else "create a study")

    def delete_study(self, study_id: int) -> None:
        """
        Refuse.
        """
        _refuse(f"delete study {self.get_study_name_from_id(study_id)!r}")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:  # noqa: ANN401 - Optuna's signature
        """
        Refuse.
        """
        del study_id, value
        _refuse(f"set attribute {key!r} of a study")

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:  # noqa: ANN401 - Optuna's signature
        """
        Refuse.
        """
        del study_id, value
        _refuse(f"set attribute {key!r} of a study")

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """
        Refuse.
        """
        del template_trial
        _refuse(f"add a trial to study {self.get_study_name_from_id(study_id)!r}")

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """
        Refuse.
        """
        del trial_id, param_value_internal, distribution
        _refuse(f"set parameter {param_name!r} of a trial")

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """
        Refuse.
        """
        del trial_id, values
        _refuse(f"set the state of a trial to {state.name}")

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """
        Refuse.
        """
        del trial_id, intermediate_value
        _refuse(f"report a value at step {step} of a trial")

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:  # noqa: ANN401 - Optuna's signature
        """
        Refuse.
        """
        del trial_id, value
        _refuse(f"set attribute {key!r} of a trial")

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:  # noqa: ANN401 - Optuna's signature
        """
        Refuse.
        """
        del trial_id, value
        _refuse(f"set attribute {key!r} of a trial")


def _refuse(what: str) -> NoReturn:
    raise StorageError(
        f"cannot {what}: this is a view of the study journal, which Optuna's tools may only read"
    )
