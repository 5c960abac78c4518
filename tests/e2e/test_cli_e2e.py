"""
``hpo trigger`` and ``hpo watch`` with a real Airflow, and the report that a run links to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from airflow_hpo.operators.links import ReportLink

_DAG = "slots"


@pytest.fixture(scope="module", name="watched")
def _watched(stack):
    """
    What ``hpo trigger --watch`` prints of a run.
    """
    stack.wait_for_dag(_DAG)
    words = ["trigger", _DAG, "--unpause", "--watch", "--interval", "0.5", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "airflow_hpo.cli", *words],
        env={
            **os.environ,
            "HPO_AIRFLOW_URL": stack.url,
            "HPO_AIRFLOW_USER": stack.username,
            "HPO_AIRFLOW_PASSWORD": stack.password,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_watching_knows_the_study(watched):
    """
    The run is followed to its end, and its study's best trial is known.
    """
    assert watched["state"] == "success"
    assert watched["study"].startswith(_DAG)
    assert sum(watched["states"].values()) == watched["trials"]
    assert watched["states"]["complete"] > 0
    assert watched["best"]["parameters"]
    assert watched["stop"]["reason"]


def test_the_report_behind_the_button(stack, watched):
    """
    The report task's link leads to the page, which wants a login and runs its scripts as nobody.
    """
    link = stack.xcom(_DAG, watched["run"], "report", key=ReportLink().xcom_key)
    assert link.startswith("/hpo/report.html?study=")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{stack.url}{link}", timeout=60)
    headers = {"Authorization": f"Bearer {stack.token()}"}
    request = urllib.request.Request(f"{stack.url}{link}", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode("utf-8")
        policy = answer.headers["Content-Security-Policy"]

    assert f"<title>{watched['study']}" in text.replace("&#43;", "+")
    assert f"Best: trial {watched['best']['number']}" in text
    assert "sandbox allow-scripts" in policy
