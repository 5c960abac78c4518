"""
Runs a job as a call of a Python function in this very process.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from pydantic import Field

from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.model.job import JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.base import RunnerOptions, wait_by_polling
from airflow_hpo.runners.files import Ending, Handle, JobFiles
from airflow_hpo.runners.supervisor import started
from airflow_hpo.runners.verdict import result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_hpo.model.job import Job, JobResult
    from airflow_hpo.model.values import Value

__all__ = ["InlineOptions", "InlineRunner"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

# So many characters of an exception make the reason; the log has it whole.
_REASON = 2000


class InlineOptions(RunnerOptions):
    """
    Options of the inline runner.

    Args:
        callable: The function to call, as ``module:function``.
    """

    callable: str = Field(pattern=r"^[\w.]+:[\w.]+$")


class InlineRunner:
    """
    Calls a Python function with the configuration, for debugging and tests.

    **How it works.** `submit` imports the function (the job's *workdir* is
    searched first), calls it, and returns when it has. The parameters come as
    keyword arguments, or as one mapping if the function takes a single
    parameter called ``configuration``. What it prints is the job's output. A
    mapping that it returns is printed as one line of JSON, a number as
    ``{"value": number}``, `None` not at all. An exception fails the job, with
    its last line as the reason and the traceback in the output.
    `TrialFailedError` says that another attempt may help.

    **What it does not do.** Nothing can interrupt a function: *timeout_s* does
    not apply and `cancel` ends nothing. The job's *environment* is not set, and
    it gets no GPUs of its own, because this process may run several jobs at once.

    **Known limitation.** What other threads than the calling one print, or
    code that does not go through `sys.stdout` and `sys.stderr`, is not caught.
    """

    options_class: ClassVar[type[RunnerOptions]] = InlineOptions
    needs_command: ClassVar[bool] = False
    takes_gpus: ClassVar[bool] = False

    def __init__(self, options: InlineOptions) -> None:
        self.options = options

    def submit(self, job: Job) -> str:
        """
        Run *job* to its end, unless that was done before; returns its handle.

        Raises:
            TrialInvalidError: If there is no such function.
        """
        files = JobFiles.of(job)
        with _searched(job.workdir):
            function = _find(self.options.callable)
            with files.lock():
                known = Handle.read(files.handle)
                if known is not None and known.key == job.key:
                    return known.text
                files.clear()
                handle = _claim(job)
            _run(function, job, handle)
        return handle.text

    def state(self, handle: str) -> JobState:
        """
        Return where the job is.
        """
        job = Handle.parse(handle)
        # That this process is alive says nothing about a job without files.
        if job is None or not job.files.handle.exists():
            return JobState.UNKNOWN
        return job.state()

    def logs(self, handle: str, since: int) -> tuple[Sequence[str], int]:
        """
        Return a page of complete lines after cursor *since*, and a new cursor.
        """
        job = Handle.parse(handle)
        return ([], since) if job is None else job.lines(since)

    def wait(self, handle: str, seconds: float, *, since: int | None = None) -> JobState:
        """
        Return the job's state after *seconds*, or earlier if there is news.
        """
        return wait_by_polling(self, handle, seconds, since=since)

    def result(self, handle: str) -> JobResult:
        """
        Return how the job ended.

        Raises:
            TrialFailedError: If it is not known here, or has not ended.
        """
        return result_of(handle, self.state(handle))

    def cancel(self, handle: str) -> None:
        """
        Do nothing: the job has ended, or cannot be interrupted.
        """


def _find(path: str) -> Callable[..., object]:
    module, _, name = path.partition(":")
    try:
        function = reduce(getattr, name.split("."), importlib.import_module(module))
    except Exception as error:
        raise TrialInvalidError(f"{path} cannot be imported: {_last_line(error)}") from error
    if not callable(function):
        raise TrialInvalidError(f"{path} must be callable, got {type(function).__name__}")
    return function


@contextmanager
def _searched(folder: str | None) -> Iterator[None]:
    """
    Let modules be imported from *folder*.
    """
    if folder is None:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        # The function itself may have changed the list.
        if folder in sys.path:
            sys.path.remove(folder)


def _claim(job: Job) -> Handle:
    pid = os.getpid()
    handle = replace(Handle.of(job), pid=pid, started=started(pid) or 0, began=time.time())
    handle.files.handle.write_text(handle.text + "\n", "utf-8")
    return handle


def _run(function: Callable[..., object], job: Job, handle: Handle) -> None:
    try:
        with (
            handle.files.log.open("a+", 1, encoding="utf-8", errors="backslashreplace") as log,
            _captured(log),
        ):
            ending = _call(function, job)
    except BaseException:  # somebody interrupts us: not the function's fault
        handle.end(Ending(cause="cancel"))
        raise
    handle.end(ending)


def _call(function: Callable[..., object], job: Job) -> Ending:
    try:
        _print_returned(_apply(function, copy.deepcopy(dict(job.configuration))))
    except SystemExit as error:
        return _exit(error)
    except TrialFailedError as error:
        return Ending(exit_code=1, reason=str(error), failure=Failure.INFRASTRUCTURE)
    except TrialInvalidError as error:
        return Ending(exit_code=1, reason=str(error), failure=Failure.CODE)
    except Exception as error:  # noqa: BLE001 - whatever user code raises
        _print_traceback(error)
        return Ending(exit_code=1, reason=_last_line(error), failure=Failure.CODE)
    return Ending(exit_code=0)


def _apply(function: Callable[..., object], configuration: dict[str, Value]) -> object:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some built-in functions do not tell
        parameters = []
    if len(parameters) == 1 and parameters[0].name == "configuration":
        if parameters[0].kind in _POSITIONAL:
            return function(configuration)
        if parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
            return function(configuration=configuration)
    return function(**configuration)


def _print_returned(returned: object) -> None:
    plain = _plain(returned)
    if plain is None:
        return
    if isinstance(plain, (int, float)) and not isinstance(plain, bool):
        plain = {"value": plain}
    if not isinstance(plain, Mapping):
        kind = type(returned).__name__
        raise TypeError(f"the function must return a mapping, a number or nothing, got {kind}")
    text = json.dumps(dict(plain), default=_plain_or_text)
    print(text if _at_line_start() else f"\n{text}")  # noqa: T201


def _at_line_start() -> bool:
    log = _log.get()
    if log is None or log.tell() == 0:
        return True
    log.flush()
    return os.pread(log.fileno(), 1, log.tell() - 1) == b"\n"


def _plain(value: object) -> Any:  # noqa: ANN401 - whatever was returned
    """
    Return an array or one of its scalars as plain numbers, the rest as it is.
    """
    return value.tolist() if hasattr(value, "tolist") else value


def _plain_or_text(value: object) -> object:
    return _plain(value) if hasattr(value, "tolist") else str(value)


def _exit(error: SystemExit) -> Ending:
    """
    Read an exit as the interpreter does: a number, or a text and then 1.
    """
    if error.code is None or isinstance(error.code, int):
        return Ending(exit_code=int(error.code or 0))
    print(error.code, file=sys.stderr)  # noqa: T201
    return Ending(exit_code=1)


def _last_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(error), error)).strip()[:_REASON]


def _print_traceback(error: Exception) -> None:
    """
    Print the traceback from the function on, without our own frames.
    """
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)


# Where this thread's job prints to.
_log: ContextVar[TextIO | None] = ContextVar("_log", default=None)

# Held while the streams are exchanged; so many jobs need them exchanged.
_exchange = threading.Lock()
_jobs = 0


class _Router:
    """
    Stands in for a stream: each thread's job writes to its own log.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever streams have
        """
        Be the log of this thread's job, or else the stream itself.
        """
        return getattr(_log.get() or self.stream, name)


@contextmanager
def _captured(log: TextIO) -> Iterator[None]:
    """
    Send what this thread prints to *log*.
    """
    global _jobs  # noqa: PLW0603 - so are the streams
    with _exchange:
        if _jobs == 0:
            sys.stdout, sys.stderr = _Router(sys.stdout), _Router(sys.stderr)
        _jobs += 1
    token = _log.set(log)
    try:
        yield
    finally:
        _log.reset(token)
        with _exchange:
            _jobs -= 1
            if _jobs == 0:
                sys.stdout, sys.stderr = _original(sys.stdout), _original(sys.stderr)


def _original(stream: TextIO) -> TextIO:
    # Somebody else may have put their own stream in place of ours.
    return stream.stream if isinstance(stream, _Router) else stream
