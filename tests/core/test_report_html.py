"""
The report's page: whole, safe, and without a need of anything else.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Measurement, Outcome, TrialState
from airflow_hpo.report import report_on, study_html
from airflow_hpo.report.figures import CHARTS, can_draw
from airflow_hpo.storage import open_storage
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.study import Study

HOSTILE = "</script><img src=http://x/ onerror=alert(1)>"

BLUEPRINT = f"""
hpo: 1
name: page
description: "{HOSTILE}"
objective: {{metric: "loss<b>", direction: minimize}}
space:
  x: {{float: [0, 1]}}
  kind: {{choice: ["{HOSTILE}", plain]}}
strategy: {{name: random, seed: 3}}
budget: {{trials: 40}}
trial: {{command: "echo {{x}}"}}
"""

needs_plotly = pytest.mark.skipif(not can_draw(), reason="plotly is not installed")


class Page(HTMLParser):
    """
    What a browser would find on a page.
    """

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.figures = Counter(), [], []
        self.text, self._kind = [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """
        Count the tag, and keep what would be fetched.
        """
        known = dict(attrs)
        self.tags[tag] += 1
        self.links += [known[name] for name in ("src", "href", "srcset") if name in known]
        assert not any(name.startswith("on") for name in known)
        self._kind = (tag, known.get("type"))

    def handle_endtag(self, tag):  # noqa: ARG002 - the parser's signature
        """
        Forget the tag.
        """
        self._kind = None

    def handle_data(self, data):
        """
        Keep figures and text apart.
        """
        if self._kind == ("script", "application/json"):
            self.figures.append(json.loads(data))
        elif self._kind is None or self._kind[0] not in {"script", "style"}:
            self.text.append(data)


@pytest.fixture(name="study", scope="module")
def _study():
    """
    A study with failures, measurements and text that means mischief.
    """
    (blueprint,) = parse_blueprints(BLUEPRINT)
    study = Study.open(MemoryStorage(), HOSTILE, blueprint)
    for trial in study.ask(12, key="all"):
        attempt = study.start(trial.number, key="try").attempt
        x = trial.configuration["x"]
        if trial.number < 3:
            reason = f"exit code 1: step {trial.number} {HOSTILE}"
            outcome = Outcome(TrialState.FAILED, failure=Failure.CODE, reason=reason)
        else:
            steps = [Measurement({"loss<b>": x + 1 / step}, 0.0, step) for step in (1, 2)]
            study.measure(trial.number, steps, attempt=attempt, first=0)
            metrics = {"loss<b>": x, HOSTILE: HOSTILE}
            outcome = Outcome(TrialState.COMPLETE, values=(x,), metrics=metrics)
        study.tell(trial.number, outcome, attempt=attempt)
    study.storage.stop(HOSTILE, Stop("user", HOSTILE))
    return study


@pytest.fixture(name="text", scope="module")
def _text(study, tmp_path_factory):
    return report_on(study, tmp_path_factory.mktemp("report")).html.read_text("utf-8")


class TestPage:
    """
    What is on the page.
    """

    def test_nothing_is_fetched(self, text):
        """
        The page names no other file, and its styles none either.
        """
        page = Page(text)

        assert page.links == []
        assert set(page.tags).isdisjoint({"link", "img", "iframe", "object", "embed"})
        assert not re.search(r"@import|url\(", text.split("</style>")[0])

    def test_text_stays_text(self, text, study):
        """
        Whatever names, values and reasons hold is shown and never run.
        """
        shown = "".join(Page(text).text)

        assert shown.count(HOSTILE) > 5
        assert text.split("<script", 1)[0].count("<img") == 0
        assert f"<title>{study.name}" not in text

    def test_failures_are_told_once(self, text):
        """
        Three failures of one kind are a line that names the trials.
        """
        shown = " ".join(" ".join(Page(text).text).split())

        assert "3 code exit code 1: step 2" in shown
        assert "#0, #1, #2" in shown

    def test_best_and_trials(self, text, study):
        """
        The best trial, the reason of the end and every trial are there.
        """
        page = Page(text)

        assert f"Best: trial {study.best().number}" in "".join(page.text)
        assert text.count('<tr class="best">') == 1
        body = text.split("<tbody>")[1].split("</tbody>")[0]
        assert body.count("<tr") == 12

    def test_a_study_without_trials(self):
        """
        There is a page also where nothing ran.
        """
        (blueprint,) = parse_blueprints(BLUEPRINT)
        study = Study.open(MemoryStorage(), "empty", blueprint)

        assert "No trial is complete." in study_html(study.record(), study.blueprint)

    @needs_plotly
    def test_charts(self, text):
        """
        Every chart that means something is there, drawn of our trials.
        """
        page = Page(text)

        assert len(page.figures) == 7
        assert page.tags["script"] == 9
        assert all(figure["data"] for figure in page.figures)

    @needs_plotly
    def test_a_chart_that_fails_takes_nothing_along(self, study, monkeypatch):
        """
        Where one chart cannot be drawn the page says so and has all else.
        """

        def fail(_):
            raise ZeroDivisionError("by zero")

        monkeypatch.setattr("airflow_hpo.report.figures.timeline.timeline", fail)
        page = Page(study_html(study.record(), study.blueprint))

        assert "this chart cannot be drawn: by zero" in "".join(page.text)
        assert CHARTS["history"].title in "".join(page.text)

    @needs_plotly
    @pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
    def test_a_browser_draws_it(self, text, tmp_path):
        """
        Chromium, without a network, draws every chart and runs nothing of what trials said.
        """
        path = tmp_path / "report.html"
        path.write_text(text, "utf-8")
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += [f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=10000"]
        command += ["--host-resolver-rules=MAP * ~NOTFOUND", path.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

        body = done.stdout.split("</style>", 1)[1]
        assert body.count('class="main-svg"') >= 7
        assert body.count("js-plotly-plot") >= 7


class TestWhenItIsWritten:
    """
    However a study ends, there is a report of it.
    """

    BLUEPRINT = """
hpo: 1
name: ends
study: ends
objective: {metric: y, direction: minimize}
space: {x: {float: [0, 1]}}
strategy: {name: random, seed: 3}
BUDGET
trial:
  command: |-
    COMMAND
  grace: 1s
"""

    @pytest.mark.parametrize(
        ("budget", "command", "code", "expected"),
        [
            ("budget: {trials: 2}", """echo '{{"y": 1}}' {x}""", 0, "Best: trial 0"),
            ("budget: {trials: 9, wall_clock: 1s}", "sleep 30 {x}", 1, "No trial is complete."),
            ("budget: {trials: 2}", "echo broken {x} >&2; exit 3", 1, "exit code 3"),
        ],
        ids=["success", "timeout", "failure"],
    )
    def test_every_end(self, hpo, budget, command, code, expected):
        """
        Success, a time that is up, and failure are all told.
        """
        text = self.BLUEPRINT.replace("BUDGET", budget).replace("COMMAND", command)
        Path("ends.yaml").write_text(text)
        result = hpo("run", "ends.yaml", code=code)

        report = Path(result.stdout.splitlines()[-1].removeprefix("report: "))
        page = "".join(Page(report.read_text("utf-8")).text)
        assert expected in page
        assert Study.load(open_storage(), "ends").record().stop.reason in page
