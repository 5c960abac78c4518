"""
An Airflow of the tests' own: a home, a database, and a folder of blueprints.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("airflow") is None:
    collect_ignore_glob = ["test_*.py"]

# Airflow reads these once, when it is imported: before any fixture could run.
_HOME = Path(tempfile.mkdtemp(prefix="hpo-airflow-"))
_OWNER = os.getpid()
_SETTINGS = {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "_AIRFLOW", "HPO_"))]:
    del os.environ[_name]
os.environ.update(_SETTINGS)

LOADER = """\
from airflow_hpo.factory import discover

discover("blueprints", file=__file__, namespace=globals())  # airflow dag
"""

# Prints a measurement whose value is the parameter's.
ECHO = """printf '{{"y": %s}}\\n' {x}"""

_TINY = {
    "hpo": 1,
    "objective": {"metric": "y", "direction": "maximize"},
    "space": {"x": {"float": [0, 1]}},
    "strategy": {"name": "random", "seed": 3},
    "budget": {"trials": 5},
    "execution": {"batch_size": 2},
    "trial": {"command": ECHO},
}


@atexit.register
def _remove_home() -> None:
    if os.getpid() == _OWNER:  # and not a process that was forked
        shutil.rmtree(_HOME, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mark every test of this folder: it needs Airflow.
    """
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker("airflow")


@pytest.fixture(name="home")
def _home() -> Path:
    """
    The folder that Airflow lives in.
    """
    return _HOME


@pytest.fixture(scope="session", name="document")
def _document() -> Callable[..., str]:
    """
    Makes the text of a tiny blueprint; keywords replace its parts.
    """

    def make(name: str, **parts: Any) -> str:
        return json.dumps({**_TINY, "name": name, **parts}, indent=1)

    return make


def _with_loader(folder: Path) -> Path:
    (folder / "blueprints").mkdir(parents=True, exist_ok=True)
    (folder / "hpo.py").write_text(LOADER)
    return folder


@pytest.fixture(scope="session", name="make_folder")
def _make_folder() -> Callable[[Path], Path]:
    """
    Makes a folder with the loader, and an empty folder of blueprints beside it.
    """
    return _with_loader


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """
    Such a folder, for one test.
    """
    return _with_loader(tmp_path / "dags")


@pytest.fixture(scope="session", name="dag_bag")
def _dag_bag() -> type:
    """
    Airflow's class that loads a folder or a file.
    """
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag
    return DagBag


@pytest.fixture(scope="session", name="serialise")
def _serialise() -> Callable[[Any], dict[str, Any]]:
    """
    Airflow's function that makes plain data of a DAG.
    """
    from airflow.serialization import serialized_objects

    if hasattr(serialized_objects, "DagSerialization"):
        return serialized_objects.DagSerialization.to_dict
    return serialized_objects.SerializedDAG.to_dict  # Airflow 3.1


@pytest.fixture(scope="session", name="database")
def _database() -> None:
    """
    Airflow's database, made once.
    """
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(name="dags_folder")
def _dags_folder(database: None, home: Path) -> Iterator[Path]:
    """
    The folder that Airflow's own bundle reads: the loader, and no blueprints yet.
    """
    folder = _with_loader(home / "dags")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session", name="build")
def _build(document: Callable[..., str]) -> Callable[..., Any]:
    """
    Makes the DAG of a tiny blueprint; keywords replace its parts.
    """
    from airflow_hpo.blueprint import parse_blueprints
    from airflow_hpo.factory import build_dag

    def build(name: str = "tiny", **parts: Any) -> Any:
        (blueprint,) = parse_blueprints(document(name, **parts), file=f"{name}.yaml")
        return build_dag(blueprint)

    return build


@pytest.fixture(name="load")
def _load(dags_folder: Path, dag_bag: type) -> Callable[[str], Any]:
    """
    Writes a blueprint's text and returns the DAG that Airflow makes of it.
    """

    def load(text: str) -> Any:
        name = json.loads(text)["name"]
        (dags_folder / "blueprints" / f"{name}.yaml").write_text(text)
        bag = dag_bag(dags_folder / "hpo.py")
        assert bag.import_errors == {}
        return bag.dags[name]

    return load
