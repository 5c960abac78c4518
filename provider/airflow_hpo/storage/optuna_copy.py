"""
OUR STUDY -> A STORAGE OF OPTUNA'S: a copy that needs neither us nor our journal.

Imported where Optuna's tools are wanted and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

import warnings

import optuna  # noqa: TID253 - see above
from optuna.storages import BaseStorage, JournalStorage, get_storage  # noqa: TID253 - see above
from optuna.storages.journal import JournalFileBackend  # noqa: TID253 - see above
from sqlalchemy.exc import SQLAlchemyError

from airflow_hpo.errors import StorageError
from airflow_hpo.model.record import StudyRecord
from airflow_hpo.storage.optuna_view import RecordView

__all__ = ["copy_to_optuna", "open_optuna"]


def open_optuna(url: str) -> BaseStorage:
    """
    Return Optuna's storage at *url*.

    Args:
        url: Of a database, as Optuna takes it; or the path of a file, for
            Optuna's journal.

    Raises:
        StorageError: If it cannot be opened.
    """
    try:
        if "://" in url:
            return get_storage(url)
        return JournalStorage(JournalFileBackend(url))
    except (SQLAlchemyError, ValueError, ImportError, OSError, RuntimeError) as error:
        raise StorageError(_reason("be opened", error)) from error


def copy_to_optuna(record: StudyRecord, url: str, *, name: str) -> int:
    """
    Write a whole study into a storage of Optuna's, under *name*; returns how many trials.

    It is there whole or not at all.

    Args:
        record: With the measurements.

        url: See `open_optuna`.

        name: What it is called there.

    Raises:
        StorageError: If there is one of that name, or it cannot be written.
    """
    storage = open_optuna(url)
    source = optuna.load_study(study_name=record.name, storage=RecordView(record))
    trials = source.get_trials(deepcopy=False)
    copy = _created(storage, name, source)
    try:
        _fill(copy, source)
        copy.add_trials(trials)
    except BaseException as error:
        optuna.delete_study(study_name=name, storage=storage)
        if isinstance(error, (SQLAlchemyError, OSError)):
            raise StorageError(_reason("be written to", error)) from error
        raise
    finally:
        storage.remove_session()
    return len(trials)


def _created(storage: BaseStorage, name: str, source: optuna.Study) -> optuna.Study:
    """
    Return a new study with the objectives of *source*.
    """
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or it tells of each study it makes
    try:
        return optuna.create_study(study_name=name, storage=storage, directions=source.directions)
    except optuna.exceptions.DuplicatedStudyError:
        raise StorageError(
            f"a study called {name!r} is there already\n    hint: choose another name: --as NAME"
        ) from None
    except (SQLAlchemyError, OSError) as error:
        raise StorageError(_reason("be written to", error)) from error
    finally:
        optuna.logging.set_verbosity(level)


def _fill(copy: optuna.Study, source: optuna.Study) -> None:
    if source.metric_names:
        with warnings.catch_warnings():  # Optuna calls it experimental
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            copy.set_metric_names(source.metric_names)
    for key, value in source.user_attrs.items():
        copy.set_user_attr(key, value)


def _reason(what: str, error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"Optuna's storage cannot {what}: {line}"
