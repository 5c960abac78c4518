"""
The conversation with a cluster: the few calls that a runner needs.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.runners.connections import airflow_hook
from airflow_hpo.runners.remote import AwayError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from airflow_hpo.runners.kubernetes import KubernetesOptions

__all__ = ["ClusterApi"]

Thing = dict[str, Any]

_HOOK = "airflow.providers.cncf.kubernetes.hooks.kubernetes:KubernetesHook"

# Seconds to connect, and to wait for an answer.
_TIMEOUT_S = (5, 30)

# What Kubernetes gives to every pod: who it is, and where.
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_NOT_FOUND, _CONFLICT = 404, 409

# Answers that say what is wrong with the request; it would be wrong again.
_WRONG = frozenset({400, 403, 404, 405, 413, 415, 422})


class ClusterApi:
    """
    One cluster, as the options name it; connected to at the first call.

    Args:
        options: The runner's.
    """

    def __init__(self, options: KubernetesOptions) -> None:
        self._options = options
        self._client: Any = None
        self._namespace = options.namespace

    @property
    def client(self) -> Any:  # noqa: ANN401 - kubernetes.client.ApiClient
        """
        The connection.

        Raises:
            TrialInvalidError: If nothing says where the cluster is.
        """
        if self._client is None:
            self._client, namespace = _connect(self._options)
            self._namespace = self._namespace or namespace
        return self._client

    @property
    def namespace(self) -> str:
        """
        The namespace of new Jobs.
        """
        if self._namespace is None:
            _ = self.client  # it knows
        return self._namespace or "default"

    def create(self, manifest: Mapping[str, Any]) -> None:
        """
        Create a Job; one that is there already is left as it is.

        Raises:
            TrialInvalidError: If the cluster refuses it for good.
            TrialFailedError: If it has no room for it now.
            AwayError: If it does not answer.
        """
        from kubernetes.client import ApiException, BatchV1Api

        batch = BatchV1Api(self.client)
        try:
            with _answered(but={*_WRONG, _CONFLICT}):
                batch.create_namespaced_job(
                    manifest["metadata"]["namespace"],
                    manifest,
                    _preload_content=False,
                    _request_timeout=_TIMEOUT_S,
                )
        except ApiException as error:
            if error.status == _CONFLICT and "being deleted" not in _message(error):
                return
            raise _refusal(error) from error

    def job(self, namespace: str, name: str) -> Thing | None:
        """
        Return a Job; `None` if there is none of that name.
        """
        from kubernetes.client import ApiException, BatchV1Api

        batch = BatchV1Api(self.client)
        try:
            with _answered(but={_NOT_FOUND}):
                return _parsed(
                    batch.read_namespaced_job(
                        name, namespace, _preload_content=False, _request_timeout=_TIMEOUT_S
                    )
                )
        except ApiException:
            return None

    def jobs(self, labels: Mapping[str, str]) -> list[Thing]:
        """
        Return the Jobs in our namespace that have all of *labels*.
        """
        from kubernetes.client import BatchV1Api

        batch = BatchV1Api(self.client)
        with _answered():
            found = _parsed(
                batch.list_namespaced_job(
                    self.namespace,
                    label_selector=_selector(labels),
                    _preload_content=False,
                    _request_timeout=_TIMEOUT_S,
                )
            )
        return list(found.get("items") or [])

    def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Thing]:
        """
        Return the pods that have all of *labels*.
        """
        from kubernetes.client import CoreV1Api

        core = CoreV1Api(self.client)
        with _answered():
            found = _parsed(
                core.list_namespaced_pod(
                    namespace,
                    label_selector=_selector(labels),
                    _preload_content=False,
                    _request_timeout=_TIMEOUT_S,
                )
            )
        return list(found.get("items") or [])

    def delete(self, namespace: str, name: str) -> None:
        """
        Delete a Job once its pods are gone; they get the time that they were promised.
        """
        from kubernetes.client import ApiException, BatchV1Api

        batch = BatchV1Api(self.client)
        try:
            with _answered(but={_NOT_FOUND}):
                batch.delete_namespaced_job(
                    name,
                    namespace,
                    propagation_policy="Foreground",
                    _preload_content=False,
                    _request_timeout=_TIMEOUT_S,
                )
        except ApiException:
            return  # it is gone already

    @contextmanager
    def output(
        self, pod: Thing, container: str, *, since: str | None, follow_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """
        Lend a container's output with a time in front of each line, piece by piece.

        Args:
            pod: Whose.

            container: Which.

            since: A time in RFC 3339, whole seconds; the start where `None`.

            follow_s: Seconds to wait for more, until it ends; by default not at all.
        """
        from kubernetes.client import ApiException

        query = [("container", container), ("timestamps", "true")]
        if since is not None:
            # The client's own method has whole seconds before now instead, by a
            # clock that is not the node's.
            query.append(("sinceTime", since))
        if follow_s is not None:
            query.append(("follow", "true"))
        metadata = pod["metadata"]
        response: Any = None
        try:
            with _answered(but={400, _NOT_FOUND}):
                response = self.client.call_api(
                    "/api/v1/namespaces/{namespace}/pods/{name}/log",
                    "GET",
                    {"namespace": metadata["namespace"], "name": metadata["name"]},
                    query,
                    {"Accept": "text/plain, */*"},
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _return_http_data_only=True,
                    _request_timeout=(5, follow_s or 30),
                )
                yield response.stream(2**16)
        except ApiException:
            yield iter(())  # no such pod, or its container has not begun
        finally:
            if response is not None:
                response.release_conn()


def _connect(options: KubernetesOptions) -> tuple[Any, str | None]:
    """
    Return a client and its usual namespace.
    """
    if options.connection is not None:
        return _by_airflow(options.connection, options.context)
    from kubernetes import client, config

    try:
        if options.kubeconfig is None and options.context is None and _is_in_cluster():
            settings = client.Configuration()
            config.load_incluster_config(client_configuration=settings)
            return client.ApiClient(settings), _own_namespace()
        path = None if options.kubeconfig is None else str(Path(options.kubeconfig).expanduser())
        found = config.new_client_from_config(config_file=path, context=options.context)
        return found, _namespace_of(path, options.context)
    except (config.ConfigException, OSError) as error:
        raise TrialInvalidError(
            "connection, kubeconfig or a pod's own account must say where the cluster is, "
            f"got none that does: {error}"
        ) from error


def _by_airflow(connection: str, context: str | None) -> tuple[Any, str | None]:
    hook = airflow_hook(
        _HOOK, connection, extra="kubernetes", conn_id=connection, cluster_context=context
    )
    try:
        return hook.get_conn(), hook.get_namespace()
    except Exception as error:
        raise TrialInvalidError(f"connection {connection!r} cannot be used: {error}") from error


def _is_in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and (_ACCOUNT / "token").exists()


def _own_namespace() -> str | None:
    try:
        return (_ACCOUNT / "namespace").read_text("utf-8").strip() or None
    except OSError:
        return None


def _namespace_of(path: str | None, context: str | None) -> str | None:
    from kubernetes import config

    contexts, active = config.list_kube_config_contexts(config_file=path)
    chosen = next((each for each in contexts if each["name"] == context), active)
    namespace = (chosen.get("context") or {}).get("namespace")
    return None if namespace is None else str(namespace)


@contextmanager
def _answered(*, but: Collection[int] = ()) -> Iterator[None]:
    """
    Turn what is no answer into `AwayError`; answers of the states in *but* are raised as they are.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status not in but:
            raise AwayError(f"the cluster does not do as asked: {_message(error)}") from error
        raise
    except (HTTPError, OSError) as error:
        raise AwayError(f"the cluster cannot be reached: {error}") from error


def _refusal(error: Any) -> Exception:  # noqa: ANN401 - ApiException
    message = f"the cluster refuses the job: {_message(error)}"
    passing = "quota" in message or error.status not in _WRONG
    return TrialFailedError(message) if passing else TrialInvalidError(message)


def _message(error: Any) -> str:  # noqa: ANN401 - ApiException
    """
    Return what the cluster says is wrong, in its words.
    """
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"


def _parsed(response: Any) -> Thing:  # noqa: ANN401 - urllib3's
    found: Thing = json.loads(response.data)
    return found


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())
