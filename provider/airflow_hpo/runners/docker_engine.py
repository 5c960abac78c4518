"""
The Docker engine as the runner speaks to it: what goes wrong there, in our words.

The Docker SDK is imported on first use. Podman's service speaks the same language.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_hpo.errors import TrialError, TrialFailedError, TrialInvalidError
from airflow_hpo.runners.connections import airflow_hook
from airflow_hpo.runners.remote import AwayError

if TYPE_CHECKING:
    from docker import APIClient

__all__ = ["Engine"]

T = TypeVar("T")

_LOCAL = "unix:///var/run/docker.sock"

# Seconds that one answer may take; starting a container on a busy machine does.
_ANSWER_S = 60

# What an engine says of trouble that may pass. Whatever else it refuses, it
# would refuse again.
_PASSING = re.compile(
    r"timeout|timed out|deadline exceeded|temporar|try again|connection (refused|reset)"
    r"|no such host|server misbehaving|network is unreachable|\bEOF\b|too ?many ?requests"
    r"|no space left|cannot allocate memory|resource .*unavailable|too many open files"
    r"|service unavailable|bad gateway|internal server error from registry",
    re.IGNORECASE,
)

# What Podman says of a container that does not run.
_NOT_RUNNING = re.compile(r"can only|not running|state improper: (stopped|exited)")

_NOT_FOUND, _CONFLICT, _NOT_MODIFIED = 404, 409, 304


class Engine:
    """
    One engine.

    Every method raises `AwayError` where it cannot be reached.

    Args:
        base_url: Where it is; `None` for what ``DOCKER_HOST`` says.

        connection: Airflow connection of the registry that images come from.
    """

    def __init__(self, base_url: str | None, connection: str | None) -> None:
        self._base_url = base_url
        self._connection = connection

    @property
    def sdk(self) -> Any:  # noqa: ANN401 - a module
        """
        The Docker SDK.
        """
        return _sdk()

    @cached_property
    def client(self) -> APIClient:
        """
        The SDK's client.
        """
        return self.new_client()

    def new_client(self) -> APIClient:
        """
        Return a client of one's own, as a thread needs it.
        """
        docker = _sdk()
        try:
            settings = docker.utils.kwargs_from_env()
            url = self._base_url or settings.get("base_url") or _LOCAL
            return self._reach(
                lambda: docker.APIClient(
                    base_url=url, tls=settings.get("tls", False), version="auto", timeout=_ANSWER_S
                )
            )
        except _refusals(docker.errors) as error:
            raise TrialInvalidError(f"the Docker engine cannot be used: {error}") from error

    @property
    def is_local(self) -> bool:
        """
        Whether it runs on this host, as far as its address tells.
        """
        url = self._base_url or os.environ.get("DOCKER_HOST") or _LOCAL
        return url.startswith(("unix:", "http+unix:"))

    @cached_property
    def is_podman(self) -> bool:
        """
        Whether it is Podman's service, which knows devices by the names of CDI alone.
        """
        about = self._known(self.client.version) or {}
        return any("podman" in part.get("Name", "").lower() for part in about.get("Components", ()))

    @cached_property
    def name(self) -> str:
        """
        The engine's machine.
        """
        return str(self._about.get("Name", ""))

    @cached_property
    def is_rootless(self) -> bool:
        """
        Whether its containers' root is the user who runs the engine.
        """
        return any("rootless" in word for word in self._about.get("SecurityOptions") or ())

    @cached_property
    def _about(self) -> Mapping[str, Any]:
        return self._known(self.client.info) or {}

    def provide(self, image: str, pull: str) -> None:
        """
        See to it that *image* is there.

        Raises:
            TrialInvalidError: If it never will be.
            TrialFailedError: If it could not be fetched this time.
        """
        if pull != "always" and self._has(image):
            return
        if pull == "never":
            raise TrialInvalidError(
                f"the image must be on {self.name}, as pull is never, got {image}"
            )
        client = self._registered() if self._connection else self.client
        try:
            lines = self._reach(lambda: list(client.pull(image, stream=True, decode=True)))
            trouble = [str(line["error"]) for line in lines if "error" in line]
        except _sdk().errors.APIError as error:
            trouble = [_words(error)]
        if not trouble and not self._has(image):
            trouble = ["it was not found"]
        for reason in trouble:
            raise _refusal(f"the image {image} cannot be had", reason)

    def _has(self, image: str) -> bool:
        return self._known(lambda: self.client.inspect_image(image)) is not None

    def _registered(self) -> APIClient:
        """
        Return a client that is logged in where the connection says.
        """
        docker, connection = _sdk(), str(self._connection)
        settings = docker.utils.kwargs_from_env()
        hook = airflow_hook(
            "airflow.providers.docker.hooks.docker:DockerHook",
            connection,
            extra="docker",
            docker_conn_id=connection,
            base_url=self._base_url or settings.get("base_url") or _LOCAL,
            version="auto",
            tls=settings.get("tls", False),
        )
        try:
            client: APIClient = hook.get_conn()
        except Exception as error:  # Airflow's own kinds are not known here
            raise _refusal(f"connection {connection!r} cannot be used", str(error)) from error
        return client

    def create(self, name: str, image: str, *, host: Mapping[str, Any], **settings: Any) -> bool:  # noqa: ANN401 - the SDK's own
        """
        Make a container, unless there is one of that *name*: then return `False`.

        Raises:
            TrialInvalidError: If the engine refuses such a one.
            TrialFailedError: If it may do it another time.
        """
        client, errors = self.client, _sdk().errors
        try:
            config = client.create_host_config(**host)
            self._reach(
                lambda: client.create_container(image, name=name, host_config=config, **settings)
            )
        except errors.APIError as error:
            # Podman calls it a fault of its own.
            if error.status_code == _CONFLICT or "already in use" in _words(error):
                return False
            raise _refusal("the container cannot be made", _words(error)) from error
        except (errors.DockerException, TypeError, ValueError) as error:
            raise TrialInvalidError(f"the container cannot be made: {error}") from error
        return True

    def start(self, name: str) -> None:
        """
        Start a container; one that cannot start is removed.

        Raises:
            TrialInvalidError: If it never can.
            TrialFailedError: If it may another time.
        """
        try:
            self._reach(lambda: self.client.start(name))
        except _sdk().errors.APIError as error:
            if error.status_code != _NOT_FOUND:
                self.remove(name)
            raise _refusal("the container cannot be started", _words(error)) from error

    def inspect(self, name: str) -> Mapping[str, Any] | None:
        """
        Return all about a container; `None` if there is none.
        """
        return self._known(lambda: self.client.inspect_container(name))

    def labels(
        self, wanted: Mapping[str, str | None], *, running: bool = False
    ) -> Sequence[Mapping[str, str]]:
        """
        Return the labels of each container that has the *wanted* ones.

        Args:
            wanted: Values by names; `None` for any value.

            running: Whether only containers count that run.
        """
        labels = [name if value is None else f"{name}={value}" for name, value in wanted.items()]
        found = self._known(
            lambda: self.client.containers(all=not running, filters={"label": labels})
        )
        return [container["Labels"] or {} for container in found or ()]

    def signal(self, name: str, number: int) -> None:
        """
        Send a signal to a container, where it runs.
        """
        self._quietly(lambda: self.client.kill(name, signal=number))

    def unpause(self, name: str) -> None:
        """
        Let a container go on.
        """
        self._quietly(lambda: self.client.unpause(name))

    def wait(self, name: str, seconds: float) -> None:
        """
        Return when a container has ended; after *seconds*, the engine counts as away.
        """
        self._known(lambda: self.client.wait(name, timeout=seconds))

    def remove(self, name: str) -> None:
        """
        Remove a container, whatever it does.
        """
        self._quietly(lambda: self.client.remove_container(name, force=True, v=True))

    def output(self, name: str, *, follow: bool) -> Iterator[bytes]:
        """
        Yield a container's output from its beginning on.

        Args:
            name: The container's.

            follow: Whether to wait for more until it ends.
        """
        client = self.new_client() if follow else self.client
        chunks = self._known(lambda: client.logs(name, stream=True, follow=follow))
        while chunks is not None:
            chunk = self._known(lambda: next(chunks, None))
            if chunk is None:
                return
            yield chunk

    def _quietly(self, call: Callable[[], object]) -> None:
        """
        Do what needs no doing where the container is gone or as wanted already.
        """
        try:
            self._reach(call)
        except _sdk().errors.APIError as error:
            if error.status_code not in {_NOT_FOUND, _CONFLICT, _NOT_MODIFIED}:
                if _NOT_RUNNING.search(_words(error)):
                    return
                raise TrialFailedError(f"the engine refused: {_words(error)}") from error

    def _known(self, call: Callable[[], T]) -> T | None:
        """
        Return what *call* does; `None` where the engine does not know what it is about.
        """
        errors = _sdk().errors
        try:
            return self._reach(call)
        except errors.NotFound:
            return None
        except errors.APIError as error:
            raise AwayError(f"the Docker engine has trouble: {_words(error)}") from error

    def _reach(self, call: Callable[[], T]) -> T:
        """
        Return what *call* does; only what the engine says about it is left as it is.
        """
        from requests.exceptions import RequestException

        errors = _sdk().errors
        try:
            return call()
        except (errors.APIError, *_refusals(errors)):
            raise
        except (errors.DockerException, RequestException, OSError) as error:
            where = self._base_url or "where DOCKER_HOST says"
            raise AwayError(f"the Docker engine cannot be reached ({where}): {error}") from error


def _sdk() -> Any:  # noqa: ANN401 - a module
    try:
        import docker
    except ImportError as error:
        raise TrialInvalidError(
            "the runner docker needs the Docker SDK: pip install 'airflow-provider-hpo[docker]'"
        ) from error
    return docker


def _refusals(errors: Any) -> tuple[type[Exception], ...]:  # noqa: ANN401 - a module
    """
    Return what the SDK raises without having asked the engine.
    """
    return (errors.InvalidArgument, errors.InvalidVersion, errors.TLSParameterError)


def _words(error: Any) -> str:  # noqa: ANN401 - the SDK's APIError
    return str(error.explanation or error)


def _refusal(what: str, reason: str) -> TrialError:
    text = f"{what}: {' '.join(reason.split())}"
    return TrialFailedError(text) if _PASSING.search(reason) else TrialInvalidError(text)
