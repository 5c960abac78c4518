"""
Every runner of the table under its contract, and the table itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.runners import RUNNERS, create_runner
from airflow_hpo.testing.commands import CommandRunnerContract
from airflow_hpo.testing.runners import RunnerContract

# A test class of a runner, which derives from a contract, begins with its name.
CONTRACT = re.compile(
    r'^class Test\w+\(\w*RunnerContract\):\n    """.*?"""\n\n    name = "(\w+)"',
    re.MULTILINE | re.DOTALL,
)


class TestSubprocess(CommandRunnerContract):
    """
    Jobs as processes of this machine.
    """

    name = "subprocess"


class TestInline(RunnerContract):
    """
    Jobs as calls in this process.
    """

    name = "inline"
    options = {"callable": "airflow_hpo.testing.runners:run_body"}  # noqa: RUF012

    def job(self, folder, body, **changes):
        """
        Hand *body* over as a parameter.
        """
        return replace(
            super().job(folder, body, **changes), command="", configuration={"body": body}
        )


def test_every_runner_is_under_contract():
    """
    A runner joins the table together with its contract.
    """
    files = Path(__file__).parent.glob("test_runner*.py")
    tested = {name for file in files for name in CONTRACT.findall(file.read_text())}

    assert tested == set(RUNNERS.entries)


def test_runners_of_commands_keep_their_contract():
    """
    Whoever needs a command is tested as one who runs it.
    """
    for contract in (TestSubprocess, TestInline):
        runner_class = RUNNERS.load(contract.name)
        assert runner_class.needs_command == issubclass(contract, CommandRunnerContract)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (RunnerSpec(name="subproces"), "runner must be one of subprocess, inline"),
        (RunnerSpec(options={"image": "x"}), "image"),
        (RunnerSpec(name="inline"), "callable"),
        (RunnerSpec(name="inline", options={"callable": "no colon"}), "callable"),
    ],
)
def test_a_wrong_name_or_option_is_refused(spec, message):
    """
    Before anything runs, and naming what is wrong.
    """
    with pytest.raises(ValueError, match=message):
        create_runner(spec)


def test_checking_a_blueprint_loads_no_clients():
    """
    A DAG file that names a cluster is parsed without its client's packages.
    """
    code = """
import sys
from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.runners import create_runner
create_runner(RunnerSpec(name="kubernetes", options={"image": "a"}))
create_runner(RunnerSpec(name="aws_batch", options={"image": "a", "job_queue": "q"}))
print(sorted({"kubernetes", "boto3", "botocore", "docker", "airflow", "s3fs"} & set(sys.modules)))
"""
    provider = Path(__file__).parents[2] / "provider"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(provider)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"
