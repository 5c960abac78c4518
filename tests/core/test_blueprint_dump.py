"""
Whatever a blueprint says, it can be written down and read again.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from airflow_hpo.blueprint import dump, parse_blueprints
from airflow_hpo.blueprint.dialects.native import NativeDialect
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.blueprint.problems import Problems
from airflow_hpo.model.blueprint import Source
from airflow_hpo.model.values import canonical
from airflow_hpo.testing.blueprints import blueprints

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def same(left, right):
    """
    Compare two blueprints apart from where they came from, types included.
    """
    texts = [
        canonical(item.model_copy(update={"source": Source()}).model_dump(mode="json"))
        for item in (left, right)
    ]
    return texts[0] == texts[1]


@QUIET
@given(blueprint=blueprints())
def test_a_dumped_blueprint_reads_back_the_same(blueprint):
    """
    Parsing what was dumped gives the blueprint, in every value and type.
    """
    text = dump(blueprint)

    (again,) = parse_blueprints(text)

    assert same(again, blueprint)
    assert dump(again) == text


@QUIET
@given(blueprint=blueprints(planned=True))
def test_what_is_not_built_yet_reads_back_the_same(blueprint):
    """
    Keys that are refused for now are read and written all the same.
    """
    document = read_document(dump(blueprint))
    problems = Problems(document)

    found = NativeDialect().parse(document, problems)

    assert not problems.errors, problems.found
    assert same(found[0], blueprint)
