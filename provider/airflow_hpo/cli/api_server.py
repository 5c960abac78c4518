"""
One api-server of Airflow: how requests get there, and what is said where they do not.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import urlsplit

from airflow_hpo.errors import HpoError

__all__ = ["ApiServer", "RestError"]

_LOCAL = {"localhost", "127.0.0.1", "::1"}

# So long the server may take for one answer, in seconds.
_TIMEOUT_S = 60.0

# So much of an answer that is no JSON is shown.
_SHOWN = 300


class RestError(HpoError):
    """
    Airflow refused a request, or could not be reached.

    Args:
        message: What was asked for, and the answer.

        status: Of HTTP; `None` if there was no answer at all.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """
        Whether asking again may help: no answer, or the server's own fault.
        """
        return self.status is None or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


class ApiServer(ABC):
    """
    Sends requests that bear a token, and gets a new one where that has run out.

    Args:
        url: Of the UI, with the path under which it is served.

        token: A bearer token that stands; without one, it logs in.
    """

    error: ClassVar[type[RestError]] = RestError

    def __init__(self, url: str, *, token: str = "") -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._renews = not token
        # A proxy that is meant for the outside must not see what stays on this machine.
        local = urlsplit(url).hostname in _LOCAL
        proxies = [urllib.request.ProxyHandler({})] if local else []
        self._open = urllib.request.build_opener(*proxies).open

    def token(self) -> str:
        """
        Return a bearer token, the same until it is refused.
        """
        self._token = self._token or self._login()
        return self._token

    @abstractmethod
    def _login(self) -> str:
        """
        Return a new token.
        """

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, lines: bool = False
    ) -> Any:  # noqa: ANN401 - any JSON
        """
        Return an answer; log in first, and once more where the token has run out.
        """
        self.token()
        try:
            return self._send(method, path, body, lines=lines)
        except RestError as error:
            if error.status != HTTPStatus.UNAUTHORIZED or not self._renews:
                raise
        self._token = ""
        self.token()
        return self._send(method, path, body, lines=lines)

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, lines: bool = False
    ) -> Any:  # noqa: ANN401 - any JSON
        """
        Return an answer; with *lines*, a list of what each of its lines says.
        """
        headers = {"Accept": "application/x-ndjson" if lines else "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(  # noqa: S310 - whoever made us checked the scheme
            f"{self.url}{path}", data, headers, method=method
        )
        try:
            with self._open(request, timeout=_TIMEOUT_S) as answer:
                return _parsed(answer.read().decode(), lines=lines)
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            message = _refused(method, path, error.code, text)
            raise self.error(message, status=error.code) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise self.error(f"Airflow cannot be reached at {self.url}: {reason}") from None


def _parsed(text: str, *, lines: bool) -> Any:  # noqa: ANN401 - any JSON
    if lines:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return json.loads(text) if text else None


def _refused(method: str, path: str, status: int, text: str) -> str:
    """
    Return what Airflow said, in a line.
    """
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = text[:_SHOWN].strip()
    if isinstance(detail, list):
        detail = "; ".join(str(each.get("msg", each)) for each in detail)
    if isinstance(detail, Mapping):
        detail = detail.get("reason", detail)
    return f"{detail or HTTPStatus(status).phrase} ({method} {path.partition('?')[0]}: {status})"
