"""
The package as others get it.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.fixture(name="wheel", scope="module")
def _wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


def test_templates_ship(wheel):
    """
    Every template of the checkout is in the wheel, where the program looks for it.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    templates = [path for path in (_ROOT / "templates").rglob("*") if path.is_file()]
    assert templates
    for path in templates:
        assert f"airflow_hpo/templates/{path.relative_to(_ROOT / 'templates').as_posix()}" in names


def test_the_wheel_alone_finds_its_templates(wheel, tmp_path):
    """
    Unpacked far from the checkout, the package reads its own templates.
    """
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from airflow_hpo.report import templates\n"
        "assert templates.__file__.startswith(sys.argv[1]), templates.__file__\n"
        "print(templates.read_template('starter.yaml.jinja')[:1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == "#\n"
