"""
Where the files of studies are kept when that is no folder: ``s3://bucket/studies``.

Everything works in a folder of this machine. A store's folder is called after its
address, so that any process that is told the folder knows where its files are kept::

    AIRFLOW_HOME/hpo/stores/s3%3A%2F%2Fbucket%2Fstudies/digits/trials/00007/...

A trial's files are sent there when it ends, and fetched where they are wanted and
not there, or not as they are kept. Which is which stands beside them, in
``.jobs/kept.json``.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

from airflow_hpo.errors import StorageError
from airflow_hpo.report import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Store", "keep", "local_folder", "location", "store_of", "uri_of"]

_STORES = "stores"
_MARK = quote("://", safe="")

# What belongs to the machine that a trial runs on.
_OWN = frozenset({".jobs", "follower.json"})

# What has no folders: there, making one could make a bucket.
_FLAT = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci"})

# What a file is called that is not all here yet.
_COMING = ".fetched"

_RECORD = Path(".jobs", "kept.json")

# The longest name of a folder, in bytes.
_LONGEST_NAME = 255


def local_folder(where: str, home: Path) -> Path:
    """
    Return the folder of this machine for files that are kept at *where*.

    Args:
        where: A folder, or an address such as ``s3://bucket/studies``.

        home: Folder in which the folders of stores are made.

    Raises:
        StorageError: If there can be no such folder.
    """
    scheme, mark, _ = where.partition("://")
    if not mark:
        return Path(where).expanduser().absolute()
    if scheme == "file":
        return Path(unquote(urlsplit(where).path)).absolute()
    name = quote(where.rstrip("/"), safe="@")
    if len(name) > _LONGEST_NAME:
        raise StorageError(f"artifacts must be a shorter address, got {where!r}")
    return home / _STORES / name


def store_of(path: Path) -> Store | None:
    """
    Return where the files of *path* are kept; `None` where they just lie there.
    """
    for folder in (path, *path.parents):
        if folder.parent.name == _STORES and _MARK in folder.name:
            return Store(unquote(folder.name), folder)
    return None


def uri_of(path: Path) -> str:
    """
    Return *path* as code anywhere may know it: ``s3://...``, or ``file://...``.
    """
    store = store_of(path)
    if store is None:
        return path.absolute().as_uri()
    return _without_connection(store.address(path))


def location(path: Path) -> str:
    """
    Return where people find the files of *path*: an address, or a folder.
    """
    store = store_of(path)
    return str(path) if store is None else _without_connection(store.address(path))


def keep(folder: Path, files: Iterable[Path | None]) -> None:
    """
    Keep those of *files* that there are, if their *folder* is a store's.

    Raises:
        StorageError: If that fails.
    """
    store = store_of(folder)
    if store is not None:
        store.send(folder, [path for path in files if path is not None])


def _without_connection(address: str) -> str:
    scheme, mark, rest = address.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{mark}{place.rpartition('@')[2]}{slash}{path}"


@dataclass(frozen=True)
class Store:
    """
    One place that keeps files.

    **How it works.** Where Airflow runs, files are reached through its
    ``ObjectStoragePath``, connections included; elsewhere through fsspec, with
    whatever that finds in the environment.

    Args:
        uri: Its address; the user is the id of an Airflow connection, if any.

        folder: Its folder on this machine.
    """

    uri: str
    folder: Path

    def address(self, path: Path) -> str:
        """
        Return where *path*, below this store's folder, is kept.
        """
        place = path.relative_to(self.folder).as_posix()
        return self.uri if place == "." else f"{self.uri}/{place}"

    def send(self, folder: Path, files: Iterable[Path] | None = None) -> int:
        """
        Keep what is new in *folder*; returns how many files that was.

        Args:
            folder: Of a trial, or of a report.

            files: Those in it that are wanted; by default all.

        Raises:
            StorageError: If that fails.
        """
        record = _Record(folder)
        count = 0
        with self._working("kept"):
            for path in _files(folder) if files is None else files:
                if record.is_kept(path):
                    continue
                remote = self._remote(path)
                if urlsplit(self.uri).scheme not in _FLAT:
                    self._fs.makedirs(remote.rpartition("/")[0], exist_ok=True)
                self._fs.put_file(str(path), remote)
                self._fs.invalidate_cache()
                record.note(path, _state(self._fs.info(remote)))
                count += 1
        if count:
            record.write()
        return count

    def fetch(self, folder: Path, *, only: str | None = None) -> int:
        """
        Bring *folder* up to what is kept of it; returns how many files came.

        Args:
            folder: Of a trial, or within one.

            only: The name of the one file that is wanted.

        Raises:
            StorageError: If that fails.
        """
        record = _Record(_trial_of(folder))
        count = 0
        with self._working("fetched"):
            for remote, info in self._kept(folder if only is None else folder / only):
                path = self.folder / remote[len(self._root) :].lstrip("/")
                if _is_own(path.relative_to(self.folder)) or record.came_from(path, _state(info)):
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                new = path.with_name(f".{path.name}.{uuid4().hex}{_COMING}")
                self._fs.get_file(remote, str(new))
                new.replace(path)
                record.note(path, _state(info))
                count += 1
        if count:
            record.write()
        return count

    def sizes(self, folder: Path) -> dict[str, int]:
        """
        Return the files right in *folder*: their names and bytes.

        Raises:
            StorageError: If that fails.
        """
        with self._working("listed"):
            beginning = self._remote(folder) + "/"
            found = {place.removeprefix(beginning): info for place, info in self._kept(folder)}
        return {name: int(info["size"]) for name, info in found.items() if "/" not in name}

    def read(self, path: Path) -> bytes:
        """
        Return what a file holds.

        Raises:
            StorageError: If that fails.
        """
        with self._working("read"):
            data: bytes = self._fs.cat_file(self._remote(path))
        return data

    def _kept(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        self._fs.invalidate_cache()
        found: dict[str, dict[str, Any]] = {}
        with suppress(FileNotFoundError):
            found = self._fs.find(self._remote(path), detail=True)
        for remote, info in sorted(found.items()):
            if info.get("type") == "file" and not remote.endswith("/"):
                yield remote, info

    def _remote(self, path: Path) -> str:
        place = path.relative_to(self.folder).as_posix()
        return self._root if place == "." else f"{self._root}/{place}"

    @cached_property
    def _reached(self) -> tuple[Any, str]:
        airflow = sys.modules.get("airflow.sdk")  # not imported: the core does without
        if airflow is not None:
            found = airflow.ObjectStoragePath(self.uri)
            return found.fs, str(found.path).rstrip("/")
        if "@" in urlsplit(self.uri).netloc:
            raise StorageError(
                f"artifacts with a connection need Airflow, got {self.uri!r} without it"
            )
        from fsspec.core import url_to_fs

        fs, root = url_to_fs(self.uri)
        return fs, str(root).rstrip("/")

    @property
    def _fs(self) -> Any:  # noqa: ANN401 - fsspec's
        return self._reached[0]

    @property
    def _root(self) -> str:
        return self._reached[1]

    def _working(self, what: str) -> _Working:
        return _Working(self.uri, what)


class _Working:
    """
    Turns whatever a file system says is wrong into an error that names the store.
    """

    def __init__(self, uri: str, what: str) -> None:
        self._uri = uri
        self._what = what

    def __enter__(self) -> None:
        """
        Begin.
        """

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """
        Raise what it means.
        """
        if isinstance(error, ImportError):
            raise StorageError(
                f"artifacts at {self._uri} need a package that is not installed: {error}; "
                "for S3: pip install 'airflow-provider-hpo[aws]'"
            ) from error
        if isinstance(error, Exception) and not isinstance(error, StorageError):
            raise StorageError(f"files cannot be {self._what} at {self._uri}: {error}") from error


class _Record:
    """
    Which files of a trial's folder are as they are kept.

    Args:
        folder: The trial's, or a report's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / _RECORD
        try:
            known = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            known = {}
        self._known: dict[str, list[Any]] = known if isinstance(known, dict) else {}

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def is_kept(self, path: Path) -> bool:
        """
        Return whether the file has not changed since it was sent or fetched.
        """
        known = self._known.get(self._name(path))
        return known is not None and bool(known[0] == _stat(path))

    def came_from(self, path: Path, state: str) -> bool:
        """
        Return whether the file is there, and is what is kept as *state* or goes beyond it.

        One that was changed here since was not sent, as where its process was
        killed: it is the newer one, unless somebody else sent another meanwhile.
        """
        known = self._known.get(self._name(path))
        return known is not None and path.exists() and bool(known[1] == state)

    def note(self, path: Path, state: str) -> None:
        """
        Note that the file is as it is kept.
        """
        self._known[self._name(path)] = [_stat(path), state]

    def write(self) -> None:
        """
        Put it on record.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._file, json.dumps(self._known))


def _trial_of(folder: Path) -> Path:
    """
    Return the trial's folder that *folder* is, or is in; else itself.
    """
    for each in (folder, *folder.parents):
        if each.parent.name == "trials":
            return each
    return folder


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _is_own(path.relative_to(folder)):
            yield path


def _is_own(place: Path) -> bool:
    return bool(_OWN & set(place.parts)) or place.name.endswith(_COMING)


def _stat(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _state(info: dict[str, Any]) -> str:
    """
    Return what changes whenever the file that is kept does.
    """
    known = (info.get(name) for name in ("ETag", "etag", "LastModified", "mtime", "created"))
    return f"{info.get('size')} {next(filter(None, known), '')}"
