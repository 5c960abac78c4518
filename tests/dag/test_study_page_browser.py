"""
The study page in a real browser, below a path, over a journal in memory.
"""

from __future__ import annotations

import json
import re
import threading
import time

import pytest

pytest.importorskip("airflow")

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.model.trial import Measurement, Outcome, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.browser import lacking, open_browser
from airflow_hpo.testing.stack import free_port

pytestmark = [
    pytest.mark.skipif(bool(lacking()), reason=lacking() or "-"),
    pytest.mark.slow,
]

_EVIL = "<script>document.title = 'owned'</script>"
_PATH = "/air/flow"


def _study(storage, name, *, trials, objectives=1, running=1, more=""):
    """
    Make a study whose last trials run; all of it is told by hand.
    """
    aims = ["{metric: y, direction: maximize}", "{metric: z, direction: minimize}"][:objectives]
    (blueprint,) = parse_blueprints(
        f"hpo: 1\nname: browser\ndescription: {json.dumps(_EVIL)}\n"
        f"objective: [{', '.join(aims)}]\n"
        "space:\n  x: {float: [0.001, 1], log: true}\n  n: {int: [1, 64]}\n"
        "  '<b>c</b>': {choice: ['<i>', plain]}\n"
        f"strategy: {{name: random, seed: 1}}\nbudget: {{trials: {trials + 5}}}\n{more}"
        "trial: {command: 'true {parameters}'}\n"
    )
    study = Study.open(storage, name, blueprint)
    asked = study.ask(trials, key="tune/manual__1/round_00.suggest")
    for trial in asked:
        key = f"tune/manual__1/round_00.trial/{trial.number}/1/id"
        study.start(trial.number, key=key)
        value = trial.configuration["n"] / 64
        measured = [Measurement({"y": value * part / 3}, 1.0 + part, part) for part in (1, 2, 3)]
        if trials < 100:
            study.measure(trial.number, measured, attempt=1, first=0)
        if trial.number < trials - running:
            values = (value, trial.configuration["x"])[:objectives]
            study.tell(trial.number, Outcome(TrialState.COMPLETE, values, {"y": value}), attempt=1)
    return study


@pytest.fixture(scope="module", name="storage")
def _storage():
    """
    A journal with a small study, one of two objectives, and a large one.
    """
    storage = open_storage("memory://browser")
    _study(storage, "small", trials=12)
    _study(storage, "front", trials=20, objectives=2)
    _study(storage, "large", trials=5000, running=0)
    _study(storage, _EVIL, trials=3)
    return storage


@pytest.fixture(scope="module", name="url")
def _url(storage):
    """
    The page's address; whoever asks may read everything.
    """
    import uvicorn
    from fastapi import FastAPI

    from airflow_hpo.plugin.page import guard
    from airflow_hpo.plugin.page.app import page_app
    from airflow_hpo.plugin.page.shelf import Shelf

    class Anybody:
        def check(self, dags):
            del dags

        def may_read(self, dags):
            return bool(dags)

    class Journal(Shelf):
        storage = property(lambda _: storage)

    page = page_app()
    page.state.shelf = Journal()
    page.dependency_overrides[guard.login] = lambda: None
    page.dependency_overrides[guard.visitor] = Anybody
    outer = FastAPI()
    outer.mount(f"{_PATH}/hpo", page)

    @outer.get(f"{_PATH}/api/v2/dags/tune/dagRuns/manual__1")
    def run():
        return {"conf": {"space.n": "2 to 64"}}

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(outer, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}{_PATH}/hpo/"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module", name="browser")
def _browser():
    """
    The machine's Chromium.
    """
    with open_browser() as browser:
        yield browser


@pytest.fixture(name="tab")
def _tab(browser, url):
    """
    Opens a page; afterwards it must have had no error, and have asked nobody else for anything.
    """
    contexts, troubles, asked = [], [], []

    def tab(query="", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.on(
            "console",
            lambda said: troubles.append(said.text) if said.type == "error" else None,
        )
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url + query)
        return page

    yield tab
    for context in contexts:
        context.close()
    assert troubles == []
    own = url.removesuffix("hpo/")
    assert [each for each in asked if not each.startswith((own, "data:", "blob:"))] == []


def test_a_study_is_found_in_the_list(tab):
    """
    The list leads to the study, back and forth, and finds by name.
    """
    page = tab()
    page.get_by_role("link", name="small", exact=True).wait_for()
    page.get_by_role("searchbox").fill("fro")
    assert page.locator("table.list tbody tr").count() == 1

    page.get_by_role("link", name="front", exact=True).click()

    page.get_by_role("heading", level=1, name="front").wait_for()
    page.get_by_role("link", name=re.compile("Studies")).click()
    page.get_by_role("link", name="large", exact=True).wait_for()


def test_markup_is_text_everywhere(tab):
    """
    Names, descriptions, parameters and choices are shown letter by letter; nothing runs.
    """
    page = tab(f"?study={_EVIL}")
    page.get_by_role("heading", level=1, name=_EVIL).wait_for()
    assert page.title() != "owned"
    assert page.locator("main script, main img, main i").count() == 0
    page.get_by_role("tab", name="Parameters").click()
    page.locator("[data-chart=slice] .main-svg").first.wait_for()
    axes = page.locator("[data-chart=slice] text").all_text_contents()
    assert "<b>c</b>" in axes
    page.get_by_role("tab", name="Settings").click()
    page.get_by_role("rowheader", name="<b>c</b>").wait_for()


def test_best_parameters_are_copied(tab, storage):
    """
    The button copies what the best trial had, as JSON.
    """
    best = Study.load(storage, "small").best()
    page = tab("?study=small", permissions=["clipboard-read", "clipboard-write"])

    page.get_by_role("button", name="Copy as JSON").click()

    page.get_by_role("button", name="Copied").wait_for()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied == dict(best.configuration)


@pytest.mark.parametrize(
    ("query", "charts"),
    [
        ("?study=small#overview", ["history", "curves"]),
        ("?study=front#overview", ["history", "front", "curves"]),
        ("?study=small#parameters", ["importance", "contour", "parallel", "slice"]),
        ("?study=small#course", ["timeline"]),
        ("?study=large#parameters", ["importance", "contour", "parallel", "slice"]),
    ],
)
def test_charts_are_drawn(tab, query, charts):
    """
    Each chart of a tab is there and has something in it.
    """
    page = tab(query)

    for name in charts:
        page.locator(f"[data-chart={name}] .main-svg").first.wait_for()
    assert page.locator("[data-chart]").count() == len(charts)
    traces = "chart => chart.querySelector('.plot').data.length"
    assert all(page.locator(f"[data-chart={name}]").evaluate(traces) for name in charts)


def test_page_without_plotly_is_whole_but_for_charts(tab, storage, monkeypatch):
    """
    In the charts' place it says what to install; best parameters and trials are there.
    """
    from airflow_hpo.plugin.page import overview

    monkeypatch.setattr(overview, "can_draw", lambda: False)
    _study(storage, "plain", trials=3)
    page = tab("?study=plain")

    page.get_by_text("pip install 'airflow-provider-hpo[plots]'").wait_for()
    assert page.locator("[data-chart]").count() == 0
    page.get_by_role("heading", name="Best parameters").wait_for()
    page.get_by_role("tab", name="Trials").click()
    page.locator("table.trials tbody tr").first.wait_for()
    storage.delete("plain")


def test_trials_are_sorted_filtered_and_saved(tab):
    """
    The table does what its heads and fields say, links to task and log, and gives CSV.
    """
    page = tab("?study=small#trials")
    from playwright.sync_api import expect

    rows = page.locator("table.trials tbody tr")
    rows.first.wait_for()
    assert rows.count() == 12

    def numbers():
        return [int(row.get_attribute("data-number")) for row in rows.all()]

    page.get_by_role("button", name="complete").click()
    expect(rows).to_have_count(11)
    page.get_by_role("button", name="y", exact=True).click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("y")
    ascending = numbers()
    page.get_by_role("button", name="y ↑").click()
    page.locator("th[aria-sort=descending]").wait_for()
    assert numbers() != ascending
    page.get_by_role("searchbox").fill("y > 2")
    page.get_by_text("No trial is like that.").wait_for()
    page.get_by_role("searchbox").fill("")
    expect(rows).to_have_count(11)

    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.path().read_text().count("\n") == 12
    log = rows.first.get_by_role("link", name="log").get_attribute("href")
    place = re.escape(f"{_PATH}/dags/tune/runs/manual__1/tasks/round_00.trial/mapped/")
    assert re.search(place + r"\d+\?try_number=1$", log)


def test_page_follows_a_study_that_runs(tab, storage):
    """
    What is told while the page is open is there a moment later, without a reload.
    """
    study = _study(storage, "live", trials=4, running=2)
    page = tab("?study=live")
    page.get_by_text("2 / 9").wait_for()

    study.tell(2, Outcome(TrialState.COMPLETE, (1.5,), {"y": 1.5}), attempt=1)

    page.get_by_text("3 / 9").wait_for()
    page.get_by_text("1.5", exact=True).first.wait_for()
    storage.delete("live")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(tab, scheme):
    """
    The page is as the system is, until somebody wants it the other way, and stays so.
    """
    page = tab("?study=small", color_scheme=scheme)
    page.get_by_role("heading", level=1).wait_for()
    brightness = "parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    before = page.evaluate(brightness)
    assert (before > 128) == (scheme == "light")

    page.get_by_role("button", name="Light or dark").click()

    assert (page.evaluate(brightness) > 128) != (scheme == "light")
    page.reload()
    page.get_by_role("heading", level=1).wait_for()
    assert (page.evaluate(brightness) > 128) != (scheme == "light")


def test_everything_has_a_name_and_the_keyboard_reaches_it(tab):
    """
    Fields and buttons have names that are read aloud; arrows move between the tabs.
    """
    page = tab("?study=small#trials")
    page.locator("table.trials tbody tr").first.wait_for()
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, a, input, select')].filter(each => !("
        "each.innerText || each.ariaLabel || each.labels?.length || each.textContent)).length"
    )
    assert unnamed == 0

    page.get_by_role("tab", name="Trials").focus()
    page.keyboard.press("ArrowRight")

    page.get_by_role("tab", name="Settings", selected=True).wait_for()
    page.get_by_role("heading", name="Effective settings").wait_for()
    page.get_by_text("2 to 64").wait_for()  # what its run was triggered with
    page.get_by_role("link", name="as it is now").wait_for()


def test_narrow_screens_do_not_scroll_sideways(tab):
    """
    On a telephone only tables and charts are wider than the screen, within their frames.
    """
    page = tab("?study=small", viewport={"width": 380, "height": 800})
    page.get_by_role("heading", level=1).wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_five_thousand_trials_are_shown_at_once(tab):
    """
    The page asks for little and shows a page of the table, however many trials there are.
    """
    sizes = {}
    page = tab("?study=small")
    page.on(
        "response",
        lambda answer: sizes.update({answer.url: int(answer.headers.get("content-length", 0))}),
    )
    began = time.perf_counter()
    page.goto(page.url.replace("study=small", "study=large") + "#trials")
    page.locator("table.trials tbody tr").first.wait_for()
    took = time.perf_counter() - began
    print(f"{took:.2f} s until 5000 trials are shown")  # noqa: T201 - shown by pytest -s

    assert page.locator("table.trials tbody tr").count() == 50
    page.get_by_text("1 to 50 of 5000").wait_for()
    assert sum(size for url, size in sizes.items() if "/api/" in url) < 100_000
