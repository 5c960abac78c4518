"""
Which failures of a trial's task Airflow tries again, where it lets tasks say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import TrialFailedError

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # Airflow 3.1 and 3.2: exceptions alone have to say it
    RetryPolicy = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["retry_options"]

# So much of a failure's reason is shown beside the task's next try.
_SHOWN = 200


def retry_options() -> dict[str, Any]:
    """
    Return the options of a trial's task about tries; none where Airflow has no policies.
    """
    return {} if RetryPolicy is None else {"retry_policy": TrialRetryPolicy()}


if RetryPolicy is not None:

    class TrialRetryPolicy(RetryPolicy):
        """
        Tries again what the blueprint allows to be tried again, and says why.

        `TrialOperator` raises `TrialFailedError` for a failure that is worth
        another try; one that is not never comes here. Of anything else, such as
        a journal that cannot be reached, the policy says nothing.
        """

        def evaluate(
            self,
            exception: BaseException,
            try_number: int,  # noqa: ARG002 - the operator counts attempts itself
            max_tries: int,  # noqa: ARG002
            context: Context | None = None,  # noqa: ARG002
        ) -> RetryDecision:
            """
            Return whether a task that raised *exception* is tried again.
            """
            if not isinstance(exception, TrialFailedError):
                return RetryDecision.default()
            return RetryDecision.retry(reason=str(exception).partition("\n")[0][:_SHOWN])

        def serialize(self) -> dict[str, Any]:
            """
            Return what the serialised DAG shows of it.
            """
            return {"__type": f"{__name__}.TrialRetryPolicy"}

        @classmethod
        def deserialize(cls, data: dict[str, Any]) -> TrialRetryPolicy:  # noqa: ARG003
            """
            Return the policy.
            """
            return cls()
