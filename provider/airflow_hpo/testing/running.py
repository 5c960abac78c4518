"""
An Airflow that runs on this machine: what the one who started it and a later visitor share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from airflow_hpo.testing.family import Family
from airflow_hpo.testing.rest import AirflowRest

__all__ = ["GRACE_S", "STATE", "Airflow", "AttachedStack"]

STATE = "stack.json"
"""The file in Airflow's home that says what runs there."""

GRACE_S = 20.0
"""How long a component may take to end by itself."""

_PASSWORDS = "simple_auth_manager_passwords.json.generated"


class Airflow(AirflowRest):
    """
    What a stack and one that somebody else started have in common.
    """

    def __init__(self, home: Path, *, identity: str, port: int) -> None:
        super().__init__(f"http://127.0.0.1:{port}", self._generated_password)
        self.home = home
        self._port = port
        self._family = Family(identity)

    @property
    def storage_url(self) -> str:
        """
        Where the studies are that tasks of this Airflow keep, unless told otherwise.
        """
        return f"sqlite:///{self.home / 'hpo' / 'studies.db'}"

    @property
    def artifacts(self) -> Path:
        """
        Where those tasks keep trials' files and reports, unless told otherwise.
        """
        return self.home / "hpo" / "studies"

    def log_file(self, component: str) -> Path:
        """
        Return where *component* (or ``migrate``) writes what it prints.
        """
        return self.home / "logs" / f"{component}.log"

    def _generated_password(self) -> str:
        text = (self.home / _PASSWORDS).read_text(encoding="utf-8")
        return str(json.loads(text)[self.username])

    def _end(self, leaders: Mapping[str, int], *, grace: float) -> None:
        """
        End everything: the api-server last, so that dying tasks can still report to it.
        """
        server = [pid for name, pid in leaders.items() if name == "api-server"]
        others = [pid for name, pid in leaders.items() if name != "api-server"]
        try:
            self._family.end(others, grace=grace)
            self._family.end(server, grace=grace)
        finally:  # a second Ctrl-C means: at once
            self._family.kill()
            (self.home / STATE).unlink(missing_ok=True)


class AttachedStack(Airflow):
    """
    An Airflow that another process started and left running.
    """

    def __init__(self, home: Path, *, identity: str, port: int, pids: Mapping[str, int]) -> None:
        super().__init__(home, identity=identity, port=port)
        self._pids = dict(pids)

    @classmethod
    def find(cls, home: Path) -> AttachedStack | None:
        """
        Return the one that runs in *home*, or `None`.

        Only processes that carry the recorded mark count: a process id that
        somebody else has by now does not.
        """
        home = home.absolute()
        try:
            state = json.loads((home / STATE).read_text(encoding="utf-8"))
            found = cls(home, identity=state["identity"], port=state["port"], pids=state["pids"])
        except (OSError, ValueError, KeyError):
            return None
        return found if found._family.pids() else None

    def stop(self, *, grace: float = GRACE_S) -> None:
        """
        End all of it: SIGTERM, and SIGKILL after *grace* seconds.
        """
        self._end(self._pids, grace=grace)
