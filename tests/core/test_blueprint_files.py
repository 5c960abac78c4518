"""
Whole files: good ones are read, bad ones are reported, as the files beside them say.

``HPO_UPDATE_SNAPSHOTS=1`` writes the reports anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_hpo.blueprint import check, check_text, dump, load_blueprints, parse_blueprints

FOLDER = Path(__file__).parent.parent / "blueprints"
UPDATE = bool(os.environ.get("HPO_UPDATE_SNAPSHOTS"))


def files(kind):
    """
    Return the files of one kind, each with dialect and name as the test's id.
    """
    found = sorted((FOLDER / kind).glob("*/*.yaml"))
    return [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in found]


def report(path):
    """
    Return what is said about a file, without the folder it happens to lie in.
    """
    problems = check_text(path.read_bytes(), file=path.name)
    return "".join(f"{problem}\n" for problem in problems)


def compare(path):
    """
    Compare a file's report with the one that is kept beside it.
    """
    kept = path.with_suffix(".txt")
    found = report(path)
    if UPDATE:
        kept.write_text(found, "utf-8")

    assert found == kept.read_text("utf-8"), "HPO_UPDATE_SNAPSHOTS=1 accepts the new report"


@pytest.mark.parametrize("path", files("good"))
def test_good_files_are_fine(path):
    """
    Nothing is said about a good file, and it is read with its name and text.
    """
    blueprints = load_blueprints(path)

    assert check(path) == ()
    assert blueprints
    for blueprint in blueprints:
        assert blueprint.source.dialect == path.parent.name
        assert blueprint.source.file == str(path)
        assert blueprint.source.text == path.read_bytes().decode("utf-8-sig")


@pytest.mark.parametrize("path", [*files("good"), *files("warning")])
def test_what_is_written_reads_back_the_same(path):
    """
    A blueprint that is dumped and read again is the same blueprint.
    """
    for blueprint in load_blueprints(path):
        (again,) = parse_blueprints(dump(blueprint))

        assert again.model_copy(update={"source": blueprint.source}) == blueprint
        assert dump(again) == dump(blueprint)


@pytest.mark.parametrize("path", files("warning"))
def test_warnings(path):
    """
    A file with warnings only is read; they are those that are kept beside it.
    """
    problems = []

    (blueprint,) = load_blueprints(path, problems=problems)

    assert blueprint.name == "digits"
    assert {problem.severity for problem in problems} == {"warning"}
    compare(path)


@pytest.mark.parametrize("path", files("bad"))
def test_errors(path):
    """
    A bad file is refused with all that is wrong, as it is kept beside it.
    """
    assert any(problem.severity == "error" for problem in check(path))
    compare(path)
