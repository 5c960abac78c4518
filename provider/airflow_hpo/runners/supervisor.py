"""
Watches over one job of the subprocess runner; a script, started by it.

It outlives the process that launched it, so a job's end is on record and its
time limit holds whoever is killed. It imports next to nothing, because every
trial pays for its start (some 15 ms).

It reads a *spec* (a marshalled mapping, see `main`) from standard input,
starts the command, writes the job's handle to a file and to standard output,
and when all is over one line of JSON to the result file. Its standard error
is the job's log.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # importing typing would cost as much as all the rest
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["is_alive", "main", "started"]

# Seconds after SIGKILL in which the killed have to be gone. Who is not hangs in
# the kernel, and waiting on would not help.
_KILL_S = 10.0

# Seconds between two looks at processes that nobody tells us about.
_LOOK_S = 0.02

# From <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36

# Started by a parent that ignores one of these, the command would ignore it too.
_RESET = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGXFSZ,
)


def main() -> None:
    """
    Run one job to its end.

    The spec holds ``command`` and ``environment`` (bytes), ``timeout_s`` (or
    `None`), ``grace_s``, the files ``handle_file``, ``result_file`` and
    ``cancel_file`` (bytes), ``head`` (the handle as JSON, less its last brace
    and what is only known here), and ``lease``: how to get GPUs, or `None`.

    It answers with the handle, or with an error's number (0 where it has none)
    and text. A job that needs GPUs has its handle before it has them.
    """
    spec = marshal.load(sys.stdin.buffer)  # noqa: S302 - our own parent wrote it
    killed = _oom_kills()
    signals = _Signals()
    family = _Family(signals, adopts=_adopt_orphans())
    cause = reason = None
    try:
        if spec["lease"] is not None:
            cause = _wait_for_devices(spec, signals)
        if cause is None:
            family.start(spec["command"], spec["environment"])
        if spec["lease"] is None:
            _announce(spec)
    except (OSError, ValueError) as error:
        family.end(0.0)
        if spec["lease"] is None:
            os.write(1, f"{getattr(error, 'errno', None) or 0} {error}\n".encode())
            return
        reason = f"the command cannot be started: {error}"
    if cause is None and reason is None:
        cause = _follow(family, signals, spec)
    family.end(spec["grace_s"])
    ending = {"cause": cause, "reason": reason, "oom": _oom_kills() > killed}
    if reason is not None:
        ending["failure"] = "infrastructure"
    _write(spec["result_file"], _result(spec["head"], family.status, ending))


def _announce(spec: Mapping[str, Any]) -> None:
    """
    Write the handle, and answer with it.
    """
    handle = _handle(spec["head"])
    _write(spec["handle_file"], handle)
    with contextlib.suppress(BrokenPipeError):  # the launcher may be dead already
        os.write(1, handle.encode())
    os.dup2(2, 1)  # closes the pipe to it


def _wait_for_devices(spec: Mapping[str, Any], signals: _Signals) -> str | None:
    """
    Get the job its GPUs, and tell it which; return why it has to end before that, if it has.
    """
    lease, environment = spec["lease"], spec["environment"]
    _write(lease["waiting_file"], "")
    _announce(spec)
    names = _module(lease["module"]).obtain(lease, sleep=signals.sleep, ends=lambda: signals.asked)
    if names is None:
        return _asked(spec)
    environment[b"CUDA_VISIBLE_DEVICES"] = ",".join(names).encode()
    # Numbers are those that nvidia-smi shows.
    environment.setdefault(b"CUDA_DEVICE_ORDER", b"PCI_BUS_ID")
    os.unlink(lease["waiting_file"])  # noqa: PTH108
    return None


def _module(path: str) -> Any:  # noqa: ANN401 - whatever a module has
    """
    Return the module in the file at *path*: in this script there is no package.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("lease", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"there is no module {path}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _asked(spec: Mapping[str, Any]) -> str:
    return "cancel" if os.path.exists(spec["cancel_file"]) else "signal"  # noqa: PTH110


def _follow(family: _Family, signals: _Signals, spec: Mapping[str, Any]) -> str | None:
    """
    Wait for the command's end, and return why it has to be ended, if it has.
    """
    limit = spec["timeout_s"]
    deadline = None if limit is None else time.monotonic() + limit
    while True:
        family.reap()
        if family.status is not None:
            return None
        if signals.asked:
            return _asked(spec)
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return "timeout"
        signals.sleep(left)


class _Signals:
    """
    Wakes a sleep when a child ends or a signal asks to end the job.
    """

    def __init__(self) -> None:
        self.asked = False
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a thread may have blocked some
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def sleep(self, seconds: float | None) -> None:
        """
        Sleep for *seconds* (`None`: for ever), or until a signal comes.
        """
        # The kernel refuses spans of years; an hour more or less is no matter.
        select.select([self._reader], [], [], None if seconds is None else min(seconds, 3600.0))
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)


class _Family:
    """
    The command and whatever it started.

    Args:
        signals: Wakes waits.

        adopts:
            Whether orphans become our own children, even those that left
            for a session of their own. Then who has no children has no
            family left; otherwise the process group is all that is known.
    """

    def __init__(self, signals: _Signals, *, adopts: bool) -> None:
        self.status: int | None = None
        self._pid = 0
        self._signals = signals
        self._adopts = adopts

    def start(self, command: bytes, environment: Mapping[bytes, bytes]) -> None:
        """
        Start *command* in a process group of its own, without input.
        """
        self._pid = os.posix_spawn(
            "/bin/sh",
            [b"/bin/sh", b"-c", b"--", command],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, 2, 1),
            ],
            setpgroup=0,
            setsigmask=[],
            setsigdef=_RESET,
        )

    def reap(self) -> bool:
        """
        Take note of who ended; returns whether anybody is left.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return not self._adopts and self._has_group()
            if pid == 0:
                return True
            if pid == self._pid:
                self.status = os.waitstatus_to_exitcode(status)

    def end(self, grace_s: float) -> None:
        """
        Ask everybody to end, wait for *grace_s* seconds, then kill.
        """
        if not self._pid or not self.reap():
            return
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)  # who is stopped cannot hear
        self._wait(grace_s)
        deadline = time.monotonic() + _KILL_S
        # Again and again: who forks while being killed has to be caught.
        while self.reap() and time.monotonic() < deadline:
            self._send(signal.SIGKILL)
            self._wait(_LOOK_S)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.reap() and (left := deadline - time.monotonic()) > 0:
            self._signals.sleep(left if self._adopts else min(left, _LOOK_S))

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._adopts:
                os.killpg(self._pid, number)
        for pid in _descendants(os.getpid()) if self._adopts else ():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _has_group(self) -> bool:
        try:
            os.killpg(self._pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # what macOS says of zombies
            return False
        return True


def _adopt_orphans() -> bool:
    """
    Become the parent of every orphan among our descendants, where that exists.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    numbers = [ctypes.c_ulong(number) for number in (1, 0, 0, 0)]
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, *numbers) == 0)


def _handle(head: str) -> str:
    pid = os.getpid()
    return f'{head}, "pid": {pid}, "started": {started(pid)}, "began": {time.time():.3f}}}\n'


def _oom_kills() -> int:
    """
    Return how many processes the kernel has ever killed for want of memory (Linux only).
    """
    try:
        with open("/proc/vmstat", encoding="ascii") as file:  # noqa: PTH123
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError):
        return 0


def _result(head: str, status: int | None, ending: Mapping[str, Any]) -> str:
    number = -status if status is not None and status < 0 else None
    code = status if number is None else 128 + number
    fields = {"exit_code": code, "signal": number, **ending}
    text = [f'"{name}": {_text(value)}' for name, value in fields.items()]
    return f"{head}, {', '.join(text)}}}\n"


def _text(value: str | float | None) -> str:
    """
    Return *value* as JSON; importing json would take longer than all else here.
    """
    if isinstance(value, str):
        plain = value.replace("\\", "/").replace('"', "'")
        return f'"{"".join(each if each.isprintable() else " " for each in plain)}"'
    return "null" if value is None else str(value).lower()


def _write(path: bytes, text: str) -> None:
    """
    Write a file that is either not there or complete.
    """
    with open(path + b".new", "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
    os.replace(path + b".new", path)  # noqa: PTH105


def _descendants(root: int) -> list[int]:
    """
    Return children, grandchildren and so on of process *root* (Linux only).
    """
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and (fields := _stat(name)):
            children.setdefault(int(fields[1]), []).append(int(name))
    found = list(children.get(root, ()))
    for pid in found:  # grows while it is walked
        found += children.get(pid, ())
    return found


def started(pid: int) -> int | None:
    """
    Return when process *pid* started; `None` if it is gone or only a zombie.

    With the number it names a process for good, as numbers are used again.
    The unit is the system's own: compare with `is_alive`.
    """
    if os.path.exists("/proc/self/stat"):  # noqa: PTH110
        fields = _stat(str(pid))
        return int(fields[19]) if fields and fields[0] not in "ZX" else None
    return _started_by_ps(pid)


def is_alive(pid: int, start: int) -> bool:
    """
    Return whether the process that started as *pid* at *start* still runs.
    """
    now = started(pid)
    # ps counts in whole seconds of a clock that may be set.
    slack = 0 if os.path.exists("/proc/self/stat") else 3  # noqa: PTH110
    return now is not None and abs(now - start) <= slack


def _stat(pid: str) -> list[str]:
    """
    Return the fields of ``/proc/PID/stat`` from the third (the state) on.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _started_by_ps(pid: int) -> int | None:
    with os.popen(f"ps -o stat= -o etime= -p {pid:d}") as output:  # noqa: S605 - a number
        state, _, elapsed = output.read().strip().partition(" ")
    if not elapsed or state.startswith("Z"):
        return None
    days, _, clock = elapsed.strip().rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + int(part)
    return int(time.time()) - int(days or 0) * 86400 - seconds


if __name__ == "__main__":
    main()
