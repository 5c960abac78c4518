"""
A folder of blueprints as DAGs: what is published, and what is not hidden.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("airflow")

from airflow_hpo.errors import BlueprintError
from airflow_hpo.factory import discover

BAD = """\
hpo: 1
name: bad
objective: {metric: y, direction: upwards}
space: {x: {float: [2, 1]}}
budget: {trials: 5}
trial: {command: "true {x}"}
"""


def write(folder, **texts):
    """
    Write blueprints; a double underscore in a name stands for a folder.
    """
    for name, text in texts.items():
        path = folder / "blueprints" / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_every_blueprint_in_the_folder_becomes_a_dag(folder, dag_bag, document):
    """
    Folders in the folder count, and files of each ending that YAML and JSON have.
    """
    write(folder, one=document("one"), deep__two=document("two"))
    (folder / "blueprints" / "five.json").write_text(document("five"))
    (folder / "blueprints" / "six.yml").write_text(document("six"))

    bag = dag_bag(folder)

    assert bag.import_errors == {}
    assert set(bag.dags) == {"one", "two", "five", "six"}


def test_hidden_files_and_other_files_are_left_alone(folder, dag_bag, document):
    """
    What begins with a dot, and what is no YAML or JSON, is no blueprint.
    """
    write(folder, one=document("one"), **{".hidden": BAD, ".git__two": BAD})
    (folder / "blueprints" / "readme.md").write_text("no blueprint")

    bag = dag_bag(folder)

    assert bag.import_errors == {}
    assert set(bag.dags) == {"one"}


def test_a_bad_file_hides_no_other(folder, dag_bag, document):
    """
    All problems of all bad files are told, with file, line and rule.
    """
    write(folder, bad=BAD, one=document("one"), worse="hpo: [1", two=document("two"))

    bag = dag_bag(folder)

    assert set(bag.dags) == {"one", "two"}
    (text,) = bag.import_errors.values()
    assert "blueprints/bad.yaml:3:" in text
    assert "blueprints/bad.yaml:4:" in text
    assert "direction" in text
    assert "blueprints/worse.yaml:2:1:" in text


def test_what_airflow_refuses_hides_no_other(folder, dag_bag, document):
    """
    An executor that nobody configured spoils its own blueprint only.
    """
    step = {"name": "trial", "command": "true {x}", "executor": "NobodyExecutor"}
    write(folder, away=document("away", trial={"steps": [step]}), one=document("one"))

    bag = dag_bag(folder)

    assert set(bag.dags) == {"one"}
    (text,) = bag.import_errors.values()
    assert "blueprints/away.yaml" in text
    assert "'NobodyExecutor'" in text


def test_one_id_belongs_to_one_blueprint(folder, dag_bag, document):
    """
    The first file in order keeps the id; the error names both.
    """
    write(folder, a=document("same", description="first"), b=document("same"))

    bag = dag_bag(folder)

    assert bag.dags["same"].description == "first"
    (text,) = bag.import_errors.values()
    assert "blueprints/b.yaml:" in text
    assert "blueprints/a.yaml" in text


def test_an_unreadable_file_hides_no_other(folder, dag_bag, document):
    """
    A file that is no text is told like any other problem.
    """
    write(folder, one=document("one"))
    (folder / "blueprints" / "binary.yaml").write_bytes(b"\xff\xfe\x00")

    bag = dag_bag(folder)

    assert set(bag.dags) == {"one"}
    assert "binary.yaml" in "".join(bag.import_errors.values())


def test_no_name_of_a_blueprint_harms_the_loader(folder, dag_bag, document):
    """
    A blueprint may be called like something in the loader's namespace.
    """
    write(folder, a=document("discover"), b=document("__file__"))

    bag = dag_bag(folder)

    assert bag.import_errors == {}
    assert set(bag.dags) == {"discover", "__file__"}


def test_a_missing_folder_is_told(tmp_path):
    """
    The message names the folder that was looked for.
    """
    with pytest.raises(FileNotFoundError, match=r"must exist, got '.*nowhere'"):
        discover("nowhere", file=tmp_path / "hpo.py")


def test_a_folder_may_be_given_whole(folder, document):
    """
    An absolute folder needs neither file nor namespace.
    """
    write(folder, one=document("one"))

    assert set(discover(folder / "blueprints")) == {"one"}


def test_a_task_reads_its_own_blueprint_only(folder, monkeypatch, document):
    """
    Where Airflow names the DAG, no other file is parsed, not even a bad one.
    """
    write(folder, bad=BAD, other=document("tiny_2"), mine=document("tiny"))
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "tiny")
    namespace = {}

    found = discover(folder / "blueprints", namespace=namespace)

    assert set(found) == {"tiny"}
    assert list(namespace) == ["hpo:tiny"]


def test_a_task_finds_an_id_that_its_file_does_not_spell(folder, monkeypatch, document):
    """
    Where no file names the DAG as it is, all are read.
    """
    write(folder, one=document("one"), mine=document("tiny").replace("tiny", "\\u0074iny"))
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "tiny")

    assert set(discover(folder / "blueprints")) == {"tiny"}


def test_a_task_is_told_what_became_of_its_blueprint(folder, monkeypatch):
    """
    A blueprint that was spoilt since fails the task with its problems.
    """
    write(folder, bad=BAD)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "bad")

    with pytest.raises(BlueprintError, match=r"blueprints/bad.yaml:3:"):
        discover(folder / "blueprints")


@pytest.fixture(name="stored")
def _stored(dags_folder):
    """
    Runs Airflow's DAG processor once and returns what it wrote down.
    """
    from airflow.models.dag import DagModel
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def run():
        command = [sys.executable, "-m", "airflow", "dag-processor", "--num-runs", "1"]
        subprocess.run(command, env=dict(os.environ), capture_output=True, check=True)
        with create_session() as session:
            errors = {
                row.filename: row.stacktrace for row in session.scalars(select(ParseImportError))
            }
            dags = {row.dag_id for row in session.scalars(select(DagModel)) if not row.is_stale}
        return dags, errors

    return run


def test_the_dag_processor_keeps_the_good_ones(stored, dags_folder, document):
    """
    The UI lists the bad file under its own name, and its neighbours go on.
    """
    write(dags_folder, bad=BAD, one=document("kept_one"), two=document("kept_two"))

    dags, errors = stored()

    assert {"kept_one", "kept_two"} <= dags
    assert list(errors) == ["blueprints/bad.yaml"]
    assert "blueprints/bad.yaml:3:" in errors["blueprints/bad.yaml"]

    shutil.copy(dags_folder / "blueprints" / "one.yaml", dags_folder / "blueprints" / "bad.yaml")
    write(dags_folder, bad=document("mended"))
    dags, errors = stored()

    assert {"kept_one", "kept_two", "mended"} <= dags
    assert errors == {}


def test_what_parses_a_bundle_to_store_it_does_no_harm(dags_folder, document, recwarn):
    """
    ``dags reserialize`` and ``dag.test`` store the good DAGs, beside a bad file.
    """
    try:
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    except ImportError:  # Airflow 3.1
        pytest.skip("Airflow 3.1 has no such bag")
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.dag import DagModel

    write(dags_folder, bad=BAD, one=document("stored_one"))
    DagBundlesManager().sync_bundles_to_db()

    bag = BundleDagBag(dags_folder, bundle_path=dags_folder, bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)

    row = DagModel.get_current("stored_one")
    assert set(bag.dags) == {"stored_one"}
    assert (row.is_stale, row.has_import_errors) == (False, False)
    assert any("blueprints/bad.yaml:3:" in str(each.message) for each in recwarn)
