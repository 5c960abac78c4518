"""
Setting up: which Python is taken, and what is said where none fits.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PINS = _ROOT / "constraints"

pytestmark = pytest.mark.skipif(not (_PINS / "install").exists(), reason="needs the checkout")


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    """
    A checkout with the script and two pin files of one package.
    """
    checkout = tmp_path / "a checkout"
    (checkout / "constraints").mkdir(parents=True)
    shutil.copy(_PINS / "install", checkout / "constraints")
    shutil.copy(_ROOT / "pyproject.toml", checkout)
    for name in ("py310", "py312"):
        (checkout / "constraints" / f"{name}.txt").write_text("nothing==1 --hash=sha256:0\n")
    return checkout


def _fake(folder: Path, name: str, *, tag: str = "py312", has_venv: bool = True) -> Path:
    """
    Make a program that answers as a Python of that version would, and notes its calls.
    """
    folder.mkdir(exist_ok=True)
    python = folder / name
    python.write_text(
        f"""#!/bin/sh
        echo "$0 $*" >>"{folder}/calls"
        case "$*" in
            *version_info*) echo {tag} ;;
            *ensurepip*) exit {0 if has_venv else 1} ;;
            *import\\ pip*) exit 0 ;;
            --version) echo "Python {tag}" ;;
            "-m venv --clear "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
        esac
        """
    )
    python.chmod(0o755)
    return python


def _install(checkout: Path, path: Path, python: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        ["/bin/sh", checkout / "constraints" / "install", ".venv"],
        env={"PATH": f"{path}{os.pathsep}/usr/bin{os.pathsep}/bin", "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )


def _pip_calls(folder: Path) -> int:
    return (folder / "calls").read_text().count("-m pip")


def test_first_fitting_python_is_taken(checkout, tmp_path):
    """
    A Python that is too old, or cannot make environments, is passed over for one that fits.
    """
    bin_folder = tmp_path / "bin"
    _fake(bin_folder, "python3", tag="py39")
    _fake(bin_folder, "python3.13", has_venv=False)
    _fake(bin_folder, "python3.12")

    done = _install(checkout, bin_folder)

    assert done.returncode == 0, done.stderr
    assert "1 pinned packages into .venv for Python py312" in done.stdout


def test_a_second_time_does_nothing(checkout, tmp_path):
    """
    What is up to date is left alone; changed pins are installed again.
    """
    bin_folder = tmp_path / "bin"
    _fake(bin_folder, "python3")
    _install(checkout, bin_folder)
    calls = _pip_calls(bin_folder)

    assert _install(checkout, bin_folder).stdout == ""
    assert _pip_calls(bin_folder) == calls

    (checkout / "constraints" / "py312.txt").write_text("nothing==2 --hash=sha256:0\n")

    assert "Installed" in _install(checkout, bin_folder).stdout
    assert _pip_calls(bin_folder) > calls
    assert (bin_folder / "calls").read_text().count("-m venv --clear") == 1


def test_a_moved_checkout_is_set_up_again(checkout, tmp_path):
    """
    An environment names its own place, so it does not count after a move.
    """
    bin_folder = tmp_path / "bin"
    _fake(bin_folder, "python3")
    _install(checkout, bin_folder)
    moved = checkout.rename(tmp_path / "elsewhere")

    assert "Installed" in _install(moved, bin_folder).stdout
    assert (bin_folder / "calls").read_text().count("-m venv --clear") == 2


def test_no_fitting_python_is_explained(checkout, tmp_path):
    """
    Where no Python fits, the message says why for each and what to type.
    """
    bin_folder = tmp_path / "bin"
    for name in ("python3.13", "python3.11", "python3.10", "python"):
        _fake(bin_folder, name, tag="")
    _fake(bin_folder, "python3", tag="py39")
    _fake(bin_folder, "python3.12", has_venv=False)

    done = _install(checkout, bin_folder)

    assert done.returncode == 1
    assert re.search(
        r"^  python3 is a Python py39, and there are pins for", done.stderr, re.MULTILINE
    )
    assert "\n  python3.12 has no venv module (on Debian" in done.stderr
    assert "\n  python3.13 cannot be run\n" in done.stderr
    assert "make install PYTHON=" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_named_python_is_taken_or_refused(checkout, tmp_path):
    """
    Who names a Python gets that one, and no other in its stead.
    """
    bin_folder = tmp_path / "bin"
    _fake(bin_folder, "python3")
    named = _fake(tmp_path, "my python", tag="py310")
    too_new = _fake(tmp_path, "newer", tag="py399")

    assert "for Python py310" in _install(checkout, bin_folder, str(named)).stdout
    done = _install(checkout, bin_folder, str(too_new))

    assert done.returncode == 1
    assert "is a Python py399" in done.stderr


def test_another_python_replaces_the_environment(checkout, tmp_path):
    """
    Naming a Python of another version makes the environment anew.
    """
    bin_folder = tmp_path / "bin"
    _fake(bin_folder, "python3")
    _install(checkout, bin_folder)
    named = _fake(tmp_path, "other", tag="py310")

    done = _install(checkout, bin_folder, str(named))

    assert "for Python py310" in done.stdout
    assert "for Python py310" not in _install(checkout, bin_folder).stdout


@pytest.mark.parametrize("prefix", ["", "core-"])
@pytest.mark.parametrize("version", ["310", "311", "312", "313"])
def test_every_pin_has_a_hash(prefix, version):
    """
    Every supported Python has pins, each with a hash, and they name no machine.
    """
    text = (_PINS / f"{prefix}py{version}.txt").read_text()
    pins = re.findall(r"^[a-z0-9.\[\]_-]+==\S+(?: ;.*)? \\\n    --hash=sha256:", text, re.MULTILINE)

    assert len(pins) == text.count("==") > 40
    assert ("apache-airflow-core==" in text) == (not prefix)
    assert "://" not in text
    assert sys.prefix not in text
