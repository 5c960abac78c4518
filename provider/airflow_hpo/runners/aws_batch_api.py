"""
The conversation with AWS Batch and CloudWatch: the few calls that a runner needs.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.runners.aws_batch_request import definition_request
from airflow_hpo.runners.connections import airflow_hook
from airflow_hpo.runners.remote import AwayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_hpo.runners.aws_batch import AwsBatchOptions

__all__ = ["BatchApi"]

_HOOK = "airflow.providers.amazon.aws.hooks.base_aws:AwsBaseHook"

# So many jobs are described by one request.
_AT_ONCE = 100

# Answers that say what is wrong with a request, or with whoever asks: the same
# will be wrong again.
_WRONG = frozenset(
    {
        "AccessDeniedException",
        "ClientException",
        "InvalidParameterException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ValidationException",
        "ValidationError",
    }
)
_NO_SUCH_STREAM = "ResourceNotFoundException"


class BatchApi:
    """
    AWS, as the options name it; connected to at the first call.

    Args:
        options: The runner's.
    """

    def __init__(self, options: AwsBatchOptions) -> None:
        self._options = options
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def _client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes it
        # Clients may be used by several threads; making one may not.
        with self._lock:
            if service not in self._clients:
                self._clients[service] = _connect(self._options, service)
            return self._clients[service]

    def definition(self) -> str:
        """
        Return the job definition; that of an image is registered unless it was before.

        Raises:
            TrialInvalidError: If it is refused.
            AwayError: If AWS does not answer.
        """
        if self._options.job_definition is not None:
            return self._options.job_definition
        request = definition_request(self._options)
        batch = self._client("batch")
        with _answered():
            found = batch.describe_job_definitions(
                jobDefinitionName=request["jobDefinitionName"], status="ACTIVE"
            )["jobDefinitions"]
            known = found[0] if found else batch.register_job_definition(**request)
        return str(known["jobDefinitionArn"])

    def submit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """
        Submit a job.

        Raises:
            TrialInvalidError: If it is refused.
            AwayError: If AWS does not answer.
        """
        with _answered():
            found: dict[str, Any] = self._client("batch").submit_job(**request)
        return found

    def jobs_named(self, name: str) -> list[dict[str, Any]]:
        """
        Return the jobs of the queue that have a name, or begin so where it ends with ``*``.
        """
        pages = self._client("batch").get_paginator("list_jobs")
        filters = [{"name": "JOB_NAME", "values": [name]}]
        with _answered():
            found = pages.paginate(jobQueue=self._options.job_queue, filters=filters)
            return [job for page in found for job in page["jobSummaryList"]]

    def described(self, jobs: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """
        Yield all that is known of *jobs*.
        """
        for start in range(0, len(jobs), _AT_ONCE):
            ids = [each["jobId"] for each in jobs[start : start + _AT_ONCE]]
            with _answered():
                found = self._client("batch").describe_jobs(jobs=ids)["jobs"]
            yield from found

    def job(self, job: str) -> dict[str, Any] | None:
        """
        Return all that is known of one job; `None` if it is not known (any more).
        """
        return next(self.described([{"jobId": job}]), None)

    def terminate(self, job: str, *, reason: str) -> None:
        """
        End a job, whether it has started or not.
        """
        with _answered():
            self._client("batch").terminate_job(jobId=job, reason=reason)

    def output(self, stream: str, token: str | None) -> Iterator[tuple[list[str], str]]:
        """
        Yield the messages after *token*, page by page, each with the token behind it.
        """
        logs = self._client("logs")
        place = {"logGroupName": self._options.log_group, "logStreamName": stream}
        while True:
            more = {} if token is None else {"nextToken": token}
            with _answered():
                page = _page(logs, {**place, "startFromHead": True, **more})
            if page is None or page["nextForwardToken"] == token:
                return
            token = str(page["nextForwardToken"])
            yield [event["message"] for event in page["events"]], token


def _page(logs: Any, request: Mapping[str, Any]) -> dict[str, Any] | None:  # noqa: ANN401
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = logs.get_log_events(**request)
    except ClientError as error:
        if _code(error) == _NO_SUCH_STREAM:
            return None  # it has not printed anything yet
        raise
    return found


def _connect(options: AwsBatchOptions, service: str) -> Any:  # noqa: ANN401 - boto3 makes it
    if options.connection is not None:
        hook = airflow_hook(
            _HOOK,
            options.connection,
            extra="aws",
            aws_conn_id=options.connection,
            region_name=options.region,
            client_type=service,
        )
        try:
            # It would make do with another account, and only say so.
            hook.get_connection(options.connection)
            return hook.get_conn()
        except Exception as error:
            raise TrialInvalidError(
                f"connection {options.connection!r} cannot be used: {error}"
            ) from error
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    # Who asks every few seconds need not insist.
    config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 2})
    try:
        return boto3.session.Session(region_name=options.region).client(
            service, endpoint_url=options.endpoint_url, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise TrialInvalidError(f"AWS cannot be reached: {error}") from error


@contextmanager
def _answered() -> Iterator[None]:
    """
    Turn what is no answer into `AwayError`, and a refusal into what it means.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        message = error.response.get("Error", {}).get("Message", str(error))
        if _code(error) in _WRONG:
            raise TrialInvalidError(f"AWS refuses the job: {message}") from error
        raise AwayError(f"AWS does not do as asked: {message}") from error
    except NoCredentialsError as error:
        raise TrialInvalidError(f"AWS cannot be reached: {error}") from error
    except (BotoCoreError, OSError) as error:
        raise AwayError(f"AWS cannot be reached: {error}") from error


def _code(error: Any) -> str:  # noqa: ANN401 - ClientError
    return str(error.response.get("Error", {}).get("Code", ""))
