"""
The page about runners tells what is there.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from airflow_hpo.blueprint import load_blueprints
from airflow_hpo.runners import RUNNERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "runners.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(hpo: 1\n.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_blueprints(example, tmp_path):
    """
    Every complete example on the page can be used as it is.
    """
    file = tmp_path / "example.yaml"
    file.write_text(example)
    shutil.copy(ROOT / "templates" / "gpu-pod.yaml", tmp_path)  # one of them names it

    (blueprint,) = load_blueprints(file)

    assert blueprint.trial.runner.name in RUNNERS.entries
