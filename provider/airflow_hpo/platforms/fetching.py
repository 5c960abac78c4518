"""
Input files: from addresses to files in a trial's folder.

Files of this machine are linked to; what comes from elsewhere is fetched once
a study and linked to from there.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.model.base import Document

if TYPE_CHECKING:
    from airflow_hpo.model.values import Value
    from airflow_hpo.platforms.base import Scene

__all__ = ["SCHEMES", "InputFile", "InputSpec", "checksums", "digest_of", "fetch", "scheme_of"]

SCHEMES = ("file", "http", "https", "s3")
"""Where files can be fetched from; an address without a scheme is a path."""

_PARAMETER = re.compile(r"{parameter:([^{}]+)}")
_WILD = re.compile(r"[*?\[]")

# Answers of a server after which asking again is of no use.
_REFUSED = frozenset({400, 401, 403, 404, 405, 410, 451})

_TIMEOUT_S = 60


class InputSpec(Document):
    """
    One named input.

    Args:
        name: Of its folder.

        uris:
            Where its files are. A path is relative to the folder that commands
            start in, and may have wildcards; ``{parameter:NAME}`` is a value.

        filename: What the file is called, where there is only one.

        keep_directories:
            Whether files lie below the inputs folder as they do at their
            source: ``none``, ``suffix`` (from the first wildcard on), ``full``.
    """

    name: str = Field(pattern=r"^[^/\0]{1,64}$")
    uris: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    filename: str | None = None
    keep_directories: Literal["none", "suffix", "full"] = "none"


@dataclass(frozen=True, slots=True)
class InputFile:
    """
    One file of an input: its name below the input's folder, where it is, whence it came.
    """

    name: str
    path: Path
    uri: str


def scheme_of(uri: str) -> str:
    """
    Return the scheme of *uri*, in lower case; empty for a path.

    Example:
        >>> scheme_of("s3://bucket/key"), scheme_of("data/train.csv")
        ('s3', '')
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", uri)
    return match[1].lower() if match else ""


def fetch(
    spec: InputSpec, folder: Path, *, values: Mapping[str, Value], scene: Scene
) -> Sequence[InputFile]:
    """
    Return the files of *spec*, each of which is then in *folder*.

    Args:
        spec: What to fetch.

        folder: Where its files are to be found; made if missing.

        values: Of parameters, for addresses that hold some.

        scene: Of the job that will read them.

    Raises:
        TrialInvalidError: If a file does not exist, or two have the same name.

        TrialFailedError: If a server cannot be reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, InputFile] = {}
    for uri in spec.uris:
        address = _filled(uri, values)
        for name, source in _sources(address, spec.keep_directories, scene):
            name = spec.filename or name  # noqa: PLW2901
            if name in found:
                raise TrialInvalidError(
                    f"input {spec.name} must have files of different names, got {name} "
                    f"from {found[name].uri} and {address}"
                )
            found[name] = InputFile(name, _linked(folder, name, source), address)
    return tuple(found.values())


def checksums(
    spec: InputSpec, *, values: Mapping[str, Value], scene: Scene
) -> list[tuple[str, str]]:
    """
    Return the name and the SHA-256 of each file of *spec*, for which it may be fetched.

    Args:
        spec: Which files.

        values: Of parameters, for addresses that hold some.

        scene: Of the job that would read them.

    Raises:
        TrialInvalidError: If a file does not exist.

        TrialFailedError: If a server cannot be reached.
    """
    found = []
    for uri in spec.uris:
        for name, source in _sources(_filled(uri, values), spec.keep_directories, scene):
            with source.open("rb") as file:
                found.append((spec.filename or name, digest_of(file)))
    return found


def digest_of(file: IO[bytes]) -> str:
    """
    Return the SHA-256 of what is left to read of *file*.
    """
    found = sha256()
    while chunk := file.read(1 << 20):
        found.update(chunk)
    return found.hexdigest()


def _filled(uri: str, values: Mapping[str, Value]) -> str:
    return _PARAMETER.sub(lambda match: str(values.get(match[1], match[0])), uri)


def _linked(folder: Path, name: str, source: Path) -> Path:
    path = Path(os.path.normpath(folder / name))
    if folder not in path.parents:
        raise TrialInvalidError(f"an input file must stay in its folder, got {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(source)
    return path


def _sources(address: str, keep: str, scene: Scene) -> Iterator[tuple[str, Path]]:
    """
    Yield the name that each file gets, and where it is on this machine.
    """
    scheme = scheme_of(address)
    if scheme in {"", "file"}:
        text = unquote(urlsplit(address).path) if scheme else address
        yield from _local(text, keep, scene)
        return
    if scheme not in SCHEMES:
        raise TrialInvalidError(f"inputs cannot be fetched from {scheme}://, got {address}")
    path = unquote(urlsplit(address).path).lstrip("/")
    name = path if keep == "full" else path.rpartition("/")[2]
    yield name or "file", _fetched(address, scheme, scene)


def _local(text: str, keep: str, scene: Scene) -> Iterator[tuple[str, Path]]:
    """
    Yield the file at *text*, those in that folder, or those that match it.
    """
    text = str(Path(text).expanduser())
    whole = scene.workdir / text
    if whole.is_file():  # even where its name looks like a pattern
        found, fixed = [whole], whole.parent
    elif whole.is_dir():
        found, fixed = [path for path in sorted(whole.rglob("*")) if path.is_file()], whole
        keep = "suffix" if keep == "none" else keep
    else:
        wild = _WILD.search(text)
        fixed = scene.workdir / text[: wild.start() if wild else None].rpartition("/")[0]
        matches = sorted(glob.glob(text, root_dir=scene.workdir, recursive=True))  # noqa: PTH207 - text may be absolute
        found = [path for path in (scene.workdir / match for match in matches) if path.is_file()]
    if not found:
        raise TrialInvalidError(f"an input must have a file, got none at {text}")
    for path in found:
        names = {"none": path.name, "full": str(path).lstrip("/")}
        yield names.get(keep) or str(path.relative_to(fixed)), path.absolute()


def _fetched(address: str, scheme: str, scene: Scene) -> Path:
    """
    Return the file at *address*, fetched unless another trial of the study did.
    """
    target = scene.shared / "inputs" / sha256(address.encode()).hexdigest()[:32]
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            _download(address, scheme, file)
        # Trials share it: none may change it for the others.
        Path(temporary).chmod(0o444)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def _download(address: str, scheme: str, file: IO[bytes]) -> None:
    from urllib.error import HTTPError

    try:
        with _opened(address, scheme) as stream:
            shutil.copyfileobj(stream, file, 1 << 20)
    except HTTPError as error:
        problem = TrialInvalidError if error.code in _REFUSED else TrialFailedError
        raise problem(f"an input cannot be fetched: {error}, for {address}") from error
    except OSError as error:  # also that nobody is there to answer
        raise TrialFailedError(f"an input cannot be fetched: {error}, for {address}") from error


def _opened(address: str, scheme: str) -> Any:  # noqa: ANN401 - any stream
    from urllib.request import urlopen

    if scheme != "s3":
        return urlopen(address, timeout=_TIMEOUT_S)  # noqa: S310 - http and https only
    return _opened_in_s3(address)


def _opened_in_s3(address: str) -> Any:  # noqa: ANN401 - a stream of botocore's
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = urlsplit(address).netloc, unquote(urlsplit(address).path).lstrip("/")
    try:
        return boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        code = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        problem = TrialInvalidError if code in _REFUSED else TrialFailedError
        raise problem(f"an input cannot be fetched: {error}, for {address}") from error
    except BotoCoreError as error:
        raise TrialFailedError(f"an input cannot be fetched: {error}, for {address}") from error
