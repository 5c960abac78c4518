"""
The trigger form and the study page in Airflow's own UI, in a real browser.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.browser import lacking, open_browser
from airflow_hpo.testing.rest import ApiError

_DAG = "form"

chromium = pytest.mark.skipif(bool(lacking()), reason=lacking() or "-")

# Where pictures are left, for people who want to look at them.
_PICTURES = os.environ.get("HPO_PICTURES")


def _study(stack, run_id):
    return Study.load(open_storage(stack.storage_url), f"{_DAG}-{run_id}")


@pytest.fixture(scope="module", name="browser")
def _browser():
    """
    The machine's Chromium.
    """
    with open_browser() as browser:
        yield browser


@pytest.fixture(name="tab")
def _tab(browser, stack):
    """
    Opens one of Airflow's pages, logged in.
    """
    contexts = []

    def tab(path, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        context.add_cookies([{"name": "_token", "value": stack.token(), "url": stack.url}])
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.goto(stack.url + path)
        return page

    yield tab
    for context in contexts:
        context.close()


def _picture(page, name):
    if _PICTURES:
        page.screenshot(path=Path(_PICTURES) / f"{name}.png")


@chromium
def test_the_form_changes_a_run(stack, tab):
    """
    What is typed into Airflow's form holds for the run: trials, strategy and bounds; its page
    shows the study while it runs and after, with what was given.
    """
    stack.wait_for_dag(_DAG)
    page = tab(f"/dags/{_DAG}")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_role("button", name="Search space").click()
    page.locator("[name='element_space.x']").fill("0.25 to 0.5")
    _picture(page, "form-space")
    page.get_by_role("button", name="Run Parameters").click()
    page.locator("[name=element_study]").fill("from-the-form")
    _picture(page, "form")
    page.get_by_role("button", name="Trigger").last.click()

    run_id = stack.until(
        lambda: next(iter(_runs(stack)), None), timeout=60, what="the form must trigger a run"
    )
    assert stack.wait(_DAG, run_id, timeout=240) == "success"
    study = Study.load(open_storage(stack.storage_url), "from-the-form")
    assert all(0.25 <= trial.configuration["x"] <= 0.5 for trial in study.record().trials)
    assert stack.run(_DAG, run_id)["conf"]["space.x"] == "0.25 to 0.5"
    page.goto(f"{stack.url}/dags/{_DAG}/runs/{run_id}")
    page.get_by_role("link", name="Study", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="from-the-form").wait_for()
    frame.get_by_text("2 / 2").wait_for()
    frame.locator("[data-chart=history] .main-svg").first.wait_for()
    _picture(page, "run")
    frame.get_by_role("tab", name="Settings").click()
    frame.get_by_text("0.25 to 0.5").first.wait_for()
    _picture(page, "settings")


def _runs(stack):
    found = stack.get(f"/dags/{_DAG}/dagRuns")["dag_runs"]
    return [run["dag_run_id"] for run in found if "space.x" in (run["conf"] or {})]


@chromium
def test_the_page_leads_to_tasks_and_logs(stack, run_dag, tab):
    """
    From Browse to the study, from its trials to the log of the task instance that ran one,
    although Airflow's frame lets nothing out; the DAG has a tab, too.
    """
    run_id = run_dag(_DAG)
    page = tab("/", color_scheme="dark")
    page.goto(f"{stack.url}/plugin/hpo-studies")
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name=f"{_DAG}-{run_id}", exact=True).click()
    frame.get_by_role("tab", name="Trials").click()
    frame.get_by_role("link", name="log").first.wait_for()
    _picture(page, "trials")

    frame.get_by_role("link", name="log").first.click()

    page.wait_for_url(re.compile(rf"/dags/{_DAG}/runs/manual.*/tasks/round_00\.trial/mapped/\d"))
    page.goto(f"{stack.url}/dags/{_DAG}")
    page.get_by_role("link", name="Studies", exact=True).click()
    frame.get_by_role("link", name=f"{_DAG}-{run_id}", exact=True).wait_for()


def test_bounds_that_cannot_be_are_refused_before_the_run(stack):
    """
    Airflow itself refuses what the form's limits rule out, and names the field.
    """
    stack.wait_for_dag(_DAG)

    for conf, name in (
        ({"space.x": "a lot"}, "space.x"),
        ({"space.x": [0, 1]}, "space.x"),
        ({"space.kind": []}, "space.kind"),
        ({"strategy": "hyperband"}, "strategy"),
        ({"trials": 3}, "trials"),
    ):
        with pytest.raises(ApiError, match=rf"(?s){name}.*: 400\)"):
            stack.trigger(_DAG, conf)


def test_bounds_that_make_no_sense_fail_the_first_task(stack):
    """
    What only the space as a whole tells is told by the first task, by name; no trial runs and
    there is no study.
    """
    stack.wait_for_dag(_DAG)
    run_id = stack.trigger(_DAG, {"space.x": [0.5, 0.1], "space.kind": ["c"]})

    assert stack.wait(_DAG, run_id, timeout=240) == "failed"
    tasks = {task["task_id"]: task for task in stack.task_instances(_DAG, run_id)}
    assert tasks["round_00.suggest"]["state"] == "failed"
    assert tasks["round_00.suggest"]["try_number"] == 1
    log = "\n".join(stack.log(tasks["round_00.suggest"]))
    assert "space.x: low must not exceed high" in log
    assert "space.kind must be some of a, b, got 'c'" in log
    with pytest.raises(LookupError):
        _study(stack, run_id)


def test_a_run_s_settings_come_by_rest(stack, run_dag):
    """
    A program that triggers gives the same settings, bounds as lists; the study keeps them.
    """
    run_id = run_dag(_DAG, {"space.x": [0.5, 1], "space.kind": ["b"], "strategy": "tpe", "seed": 1})

    study = _study(stack, run_id)
    assert study.blueprint.strategy.name == "tpe"
    assert (study.blueprint.strategy.seed, study.record().seed) == (1, 1)
    for trial in study.record().trials:
        assert trial.configuration["kind"] == "b"
        assert trial.configuration["x"] >= 0.5
    rendered = stack.get(
        f"/dags/{_DAG}/dagRuns/{run_id}/taskInstances/round_00.suggest",
    )["rendered_fields"]
    settings = rendered["settings"]
    settings = json.loads(settings) if isinstance(settings, str) else settings
    assert settings["strategy"] == "tpe"
    assert json.loads(settings["space"])["space.kind"] == ["b"]
