"""
One study, looked after by many triggers of one process: they look together.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from airflow_hpo.hooks.study import StudyHook
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.storage import codec
from airflow_hpo.study import Study

if TYPE_CHECKING:
    from airflow_hpo.model.stop import Stop

__all__ = ["SharedStudy", "study_of"]

# Seconds for which one look at a study answers for all that ask.
_FRESH_S = 1.0


class SharedStudy(Study):
    """
    A study that is looked at once a second at most, however many trials run.

    Args:
        arguments: See `Study`.
    """

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - Study's own
        super().__init__(*arguments)
        self._looking = threading.Lock()
        self._looked = -_FRESH_S
        self._stop: Stop | None = None

    def look(self, *, now: float | None = None) -> Stop | None:
        """
        Return why the study has ended, as it stood a moment ago; see `Study.look`.
        """
        with self._looking:
            if time.monotonic() - self._looked >= _FRESH_S:
                self._stop = super().look(now=now)
                self._looked = time.monotonic()
            return self._stop


_STUDIES: WeakValueDictionary[tuple[str | None, str, str], SharedStudy] = WeakValueDictionary()
_LOCK = threading.Lock()


def study_of(conn_id: str | None, name: str, definition: str) -> SharedStudy:
    """
    Return the study called *name*, the same object for all who ask at the same time.

    Args:
        conn_id: The Airflow connection to the journal; see `StudyHook`.

        name: The study's.

        definition: The blueprint, as JSON text.
    """
    key = (conn_id, name, definition)
    with _LOCK:
        study = _STUDIES.get(key)
    if study is None:
        storage = StudyHook(conn_id).storage()
        study = SharedStudy(storage, name, Blueprint.model_validate(codec.parse(definition)))
    with _LOCK:
        return _STUDIES.setdefault(key, study)
