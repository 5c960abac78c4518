"""
A container engine of our own for tests: Podman's service, which speaks Docker's language.

It keeps images and containers in a folder of its own, which goes with it, and
touches no other engine. It needs root and a few of Debian's packages.

::

    with PodmanService() as engine:
        RunnerSpec(name="docker", options=engine.options())
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow_hpo.testing.keeper import environment

if TYPE_CHECKING:
    from typing_extensions import Self

    from docker import APIClient

__all__ = ["IMAGE", "PodmanService", "PodmanUnavailableError"]

IMAGE = "hpo-test:1"
"""An image with BusyBox and nothing else."""

_START_S = 60

# What is called, and the Debian package that has it.
_NEEDED = {
    "podman": "podman",
    "runc": "runc",
    "iptables": "iptables",
    "busybox": "busybox-static",
    "netavark": "netavark",
}

# The service does without systemd, and its containers with the limits of ours.
_SETTINGS = """\
[containers]
netns = "host"
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
compat_api_enforce_docker_hub = false
lock_type = "file"
tmp_dir = "{folder}/tmp"
"""

# Runs the service until our end of the pipe closes, which it does too when we
# are killed; then nothing of it is left.
_KEEPER = """
folder=$1; shift
"$@" system service --time=0 "unix://$folder/sock" </dev/null >>"$folder/log" 2>&1 &
service=$!
cat >/dev/null
kill "$service"; wait "$service"
"$@" rm --all --force --time 0 >>"$folder/log" 2>&1
rm -rf "$folder"
"""


class PodmanUnavailableError(Exception):
    """
    There is no Podman to be had here; says why.
    """


class PodmanService:
    """
    One engine with one image.

    Raises:
        PodmanUnavailableError: If something that it needs is missing.
    """

    def __init__(self) -> None:
        _refuse()
        # Not under a long path: a socket's has room for some hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="hpo-pm-", dir="/tmp"))
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """
        Where the Docker SDK finds it.
        """
        return f"unix://{self.folder / 'sock'}"

    @cached_property
    def client(self) -> APIClient:
        """
        The Docker SDK's client of it.
        """
        import docker

        return docker.APIClient(base_url=self.url, version="auto", timeout=120)

    def options(self, **more: Any) -> dict[str, Any]:
        """
        Return options of the Docker runner with which jobs find our Python.
        """
        mounts = [f"{source}:{target}:ro" for source, target in _userland()]
        own = {"image": IMAGE, "base_url": self.url, "network": "host", "mounts": mounts}
        return {**own, **more}

    def __enter__(self) -> Self:
        """
        Start it, with its image; returns once it answers.

        Raises:
            AssertionError: If it does not come up.
        """
        try:
            settings = _SETTINGS.format(folder=self.folder)
            (self.folder / "containers.conf").write_text(settings, "utf-8")
            # No test asks a registry: what is not here is nowhere.
            (self.folder / "registries.conf").write_text("unqualified-search-registries = []\n")
            self.add_image(IMAGE, self._busybox())
            self._keeper = subprocess.Popen(  # noqa: S603 - our own script
                ["/bin/sh", "-c", _KEEPER, "sh", str(self.folder), *self._podman],
                stdin=subprocess.PIPE,
                start_new_session=True,
                env=environment(),
                cwd="/",
            )
            self._await()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Stop it, end its containers, and remove its folder.
        """
        self.stop()

    def stop(self) -> None:
        """
        Do what leaving does.
        """
        if "client" in self.__dict__:
            self.client.close()
        if self._keeper is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._keeper.communicate(timeout=_START_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _podman(self) -> list[str]:
        places = [f"--root={self.folder / 'images'}", f"--runroot={self.folder / 'run'}"]
        settings = {"CONF": "containers.conf", "REGISTRIES_CONF": "registries.conf"}
        files = [f"CONTAINERS_{name}={self.folder / file}" for name, file in settings.items()]
        return ["env", *files, "podman", *places, "--storage-driver=vfs"]

    def add_image(self, name: str, tree: Path) -> None:
        """
        Make an image that holds what is in the folder *tree*.

        Raises:
            PodmanUnavailableError: If that cannot be done here.
        """
        recipe = self.folder / "Containerfile"
        recipe.write_text("FROM scratch\nCOPY . /\n", "utf-8")
        command = [*self._podman, "build", "--quiet", "--tag", name, "--file", str(recipe)]
        done = subprocess.run(  # noqa: S603 - our own words
            [*command, str(tree)], check=False, capture_output=True, text=True, env=environment()
        )
        if done.returncode:
            raise PodmanUnavailableError(f"Podman cannot make an image here: {done.stderr}")

    def _busybox(self) -> Path:
        """
        Make a folder that holds BusyBox, under all its names, and return it.
        """
        tree = self.folder / "tree"
        (tree / "bin").mkdir(parents=True)
        (tree / "tmp").mkdir()
        (tree / "tmp").chmod(0o1777)
        busybox = str(shutil.which("busybox"))
        shutil.copy(busybox, tree / "bin" / "busybox")
        names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)  # noqa: S603 - found above
        for name in set(names.stdout.split()) - {"busybox"}:
            (tree / "bin" / name).symlink_to("busybox")
        return tree

    def _await(self) -> None:
        from requests.exceptions import RequestException

        import docker

        assert self._keeper is not None
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(docker.errors.DockerException, RequestException, OSError):
                if self.client.ping():
                    return
            self.__dict__.pop("client", None)
            assert time.monotonic() < deadline, (self.folder / "log").read_text("utf-8")
            assert self._keeper.poll() is None, (self.folder / "log").read_text("utf-8")
            time.sleep(0.05)


def _refuse() -> None:
    """
    Refuse where something is missing.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/lib/podman"])
    missing = [name for name in _NEEDED if shutil.which(name, path=path) is None]
    if missing:
        packages = " ".join(_NEEDED[name] for name in missing)
        raise PodmanUnavailableError(f"{', '.join(missing)} not found: apt-get install {packages}")
    if os.geteuid() != 0:
        raise PodmanUnavailableError("Podman's containers need root here")
    try:
        import docker  # noqa: F401 - is it there?
    except ImportError as error:
        raise PodmanUnavailableError(f"the Docker SDK is missing: {error}") from error


def _userland() -> Iterator[tuple[str, str]]:
    """
    Yield the folders of this machine that its Python needs, and where it looks for them.
    """
    for folder in ("/usr", "/lib", "/lib64", "/etc/ld.so.cache"):
        if Path(folder).exists():
            yield str(Path(folder).resolve()), folder
    ours = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])}
    yield from ((folder, folder) for folder in sorted(ours) if not f"{folder}/".startswith("/usr/"))
