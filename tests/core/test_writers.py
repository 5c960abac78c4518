"""
Writers of dialects: whatever a blueprint says is in the text, or said to be lost.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint import dump, load_blueprints
from airflow_hpo.blueprint.dialects import WRITERS
from airflow_hpo.testing.blueprints import blueprints
from airflow_hpo.testing.drawn_spaces import configurations
from airflow_hpo.testing.writers import WriterContract, words_of

FOLDER = Path(__file__).parent.parent / "blueprints"
FILES = sorted([*FOLDER.glob("good/*/*.yaml"), *FOLDER.glob("warning/*/*.yaml")])

QUIET = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def contract(name):
    """
    Return the contract of one writer.
    """
    found = WriterContract()
    found.dialect = name
    return found


def writable(*, planned=False):
    """
    Return blueprints without what no command can hold.
    """
    return blueprints(planned=planned).filter(lambda found: "\\x00" not in dump(found))


@pytest.mark.parametrize("name", WRITERS.names())
@QUIET
@given(data=st.data())
def test_nothing_is_lost_without_a_word(name, data):
    """
    What is read again is the blueprint, apart from what the writer says is lost.
    """
    # What is not built yet is refused by the native dialect, though it can say it.
    contract(name).check(data.draw(writable(planned=name != "native")))


@pytest.mark.parametrize("name", WRITERS.names())
@QUIET
@given(data=st.data(), blueprint=writable())
def test_commands_get_the_same_words(name, data, blueprint):
    """
    Where no loss of the command or of a value is told, programs get what they got.
    """
    written, again = contract(name).written(blueprint)
    lost = {loss.path.split(".")[0] for loss in written.losses if "command" in loss.path}
    lost |= {"space" for loss in written.losses if loss.path.startswith("space")}
    if lost:
        return
    configuration = data.draw(configurations(again.space))

    assert words_of(again, configuration) == words_of(blueprint, configuration), written.text


@pytest.mark.parametrize("name", WRITERS.names())
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_files_of_every_dialect(name, path):
    """
    Every file that is read can be written in every dialect.
    """
    for blueprint in load_blueprints(path):
        contract(name).check(blueprint)
