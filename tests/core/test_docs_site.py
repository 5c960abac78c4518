"""
The documentation's site is whole, and what the tutorial says works.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from airflow_hpo.blueprint.dialects import DIALECTS
from airflow_hpo.runners import RUNNERS
from airflow_hpo.strategies import STRATEGIES

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"

pytestmark = pytest.mark.skipif(not (_ROOT / "mkdocs.yml").exists(), reason="needs the checkout")


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory):
    """
    The site, built as ``make docs`` builds it.
    """
    for module in ("material", "mkdocstrings"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=_ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(_ROOT / "provider")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Page(HTMLParser):
    """
    What a browser fetches with a page, and where its links lead.
    """

    def __init__(self, text):
        super().__init__()
        self.fetched, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """
        Keep addresses.
        """
        known = dict(attrs)
        if tag == "a":
            self.links.append(known.get("href") or "")
        elif tag in {"script", "img", "iframe"} or known.get("rel") in {"stylesheet", "icon"}:
            self.fetched += [known[name] for name in ("src", "href") if known.get(name)]


def test_nothing_comes_from_elsewhere(site):
    """
    Scripts, styles, fonts and images are the site's own.
    """
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        foreign = [each for each in Page(path.read_text()).fetched if urlsplit(each).netloc]
        assert foreign == [], path
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.search(r"url\(\s*[\"']?https?:", styles)


def test_pages_lead_somewhere(site):
    """
    Links within the site end at a page that is there; every page of ours is on it.
    """
    for path in site.rglob("index.html"):
        for link in Page(path.read_text()).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            assert target.exists(), (path, link)
    for page in _DOCS.glob("*.md"):
        name = "" if page.stem == "index" else page.stem
        assert (site / name / "index.html").is_file(), page


def test_keys_are_those_of_the_schema(site):
    """
    The page of all keys has what the schema has, also deep within.
    """
    text = (site / "keys" / "index.html").read_text()

    for key in ("space.NAME.float", "trial.retries.code", "budget.trials", "execution.mode"):
        assert f"<code>{key}</code>" in text


def test_support_is_what_there_is(site):
    """
    Every strategy, dialect and runner stands in the tables of what is supported.
    """
    text = (site / "support" / "index.html").read_text()

    for name in (*STRATEGIES.entries, *RUNNERS.entries, *DIALECTS.entries):
        assert re.search(rf"<t[dh][^>]*>(<a [^>]*>)?(<code>)?{name}<", text), name


def test_python_is_documented_by_its_docstrings(site):
    """
    Classes are there with their arguments, and examples as code.
    """
    text = (site / "python" / "index.html").read_text()

    assert 'id="airflow_hpo.study.Study.ask"' in text
    assert "How many are wanted." in text
    assert "&gt;&gt;&gt;" in text


@pytest.fixture(name="tutorial")
def _tutorial(hpo):
    """
    The files that the tutorial has people write.
    """
    text = (_DOCS / "tutorial.md").read_text("utf-8")
    blocks = dict(re.findall(r"```\w+ title=\"([\w/.]+)\"\n(.*?)```", text, re.DOTALL))
    assert set(blocks) == {"train.py", "digits.yaml", "dags/hpo.py"}
    for name in ("train.py", "digits.yaml"):
        Path(name).write_text(blocks[name])
    return text


def shown(text, command):
    """
    Return what the tutorial shows below *command*.
    """
    found = re.search(rf"\$ {re.escape(command)}\n(.*?)(?:\n\$ |```)", text, re.DOTALL)
    return found.group(1).strip().splitlines()


def test_tutorial_shows_what_is_printed(hpo, tutorial):
    """
    The check, the plan and the mistakes of the tutorial are what the program prints.
    """
    for command in ("check digits.yaml", "plan digits.yaml"):
        result = hpo(*command.split())
        assert shown(tutorial, f"hpo {command}") == result.stdout.strip().splitlines()
    text = Path("digits.yaml").read_text()
    Path("bad.yaml").write_text(
        text.replace("maximize", "maximise").replace("1e-4, 1e-1", "-4, -1")
    )
    result = hpo("check", "bad.yaml", code=1)

    assert shown(tutorial, "hpo check bad.yaml") == result.output.strip().splitlines()


def test_tutorial_runs(hpo, tutorial):
    """
    The tutorial's blueprint and program tune a real model.
    """
    pytest.importorskip("sklearn")
    text = Path("digits.yaml").read_text()
    text = text.replace("epochs: 15", "epochs: 2").replace(
        "python train", f"{sys.executable} train"
    )
    Path("digits.yaml").write_text(text)

    summary = hpo.json("run", "digits.yaml", "--trials", "2", "--quiet")

    assert summary["states"] == {"complete": 2}
    assert 0 < summary["best"]["values"]["val_accuracy"] < 1
