"""
The JSON Schema and the reader agree about every key.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from airflow_hpo.blueprint.dialects.native.keys import BLUEPRINT
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.blueprint.schema import json_schema

jsonschema = pytest.importorskip("jsonschema")

FOLDER = Path(__file__).parent.parent / "blueprints"
GOOD = [*FOLDER.glob("good/native/*.yaml"), *FOLDER.glob("warning/native/*.yaml")]

# What is wrong with a file is not always in the shape of a value.
BY_SHAPE = [
    "bounds_mapping",
    "bounds_of_int_float",
    "bounds_quoted",
    "budget_missing_trials",
    "budget_quoted",
    "budget_values",
    "choice_empty",
    "command_and_steps",
    "command_mapping",
    "constraint_text",
    "dag_values",
    "description_number",
    "dialect_version_2",
    "dialect_version_text",
    "direction_and_target",
    "direction_british",
    "direction_missing",
    "direction_short",
    "execution_values",
    "kind_foreign",
    "kind_unknown",
    "log_text",
    "many_problems",
    "missing_parts",
    "name_missing",
    "name_with_space",
    "objective_foreign",
    "objective_text",
    "objective_value",
    "parameter_keys",
    "parameter_list",
    "pruner_nameless",
    "several_objectives",
    "step_of_nothing",
    "stop_mapping",
    "stop_rules",
    "strategy_seed",
    "strategy_list",
    "trial_list",
    "trial_values",
    "unknown_keys",
    "when_empty",
]


@pytest.fixture(name="validator", scope="module")
def _validator():
    """
    A validator of the schema, which is a valid one.
    """
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", sorted(GOOD), ids=lambda path: path.stem)
def test_good_files_are_valid(path, validator):
    """
    What the reader takes, the schema takes.
    """
    data = read_document(path.read_bytes()).data

    assert [error.message for error in validator.iter_errors(data)] == []


@pytest.mark.parametrize("name", BY_SHAPE)
def test_bad_shapes_are_invalid(name, validator):
    """
    What the reader refuses for its shape, an editor marks.
    """
    data = read_document((FOLDER / "bad" / "native" / f"{name}.yaml").read_bytes()).data

    assert not validator.is_valid(data)


def mappings(data, path=()):
    """
    Yield the path of every mapping in *data* whose keys are the dialect's.
    """
    if isinstance(data, dict):
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        free = path[-1:] == ("space",) and not isinstance(value, dict)
        if isinstance(value, (dict, list)) and not free:
            yield from mappings(value, (*path, key))


# Mappings of names, not of keys: parameters, variables, options.
FREE = {
    "space",
    "when",
    "environment",
    "options",
    "points",
    "constant",
    "choice",
    "runner",
    "metrics",
}


def test_misspelled_keys_are_invalid(validator):
    """
    A key too many, anywhere in the fullest file, is refused by schema and reader.
    """
    base = read_document((FOLDER / "good" / "native" / "full.yaml").read_bytes()).data
    tried = 0
    for path in mappings(base):
        if FREE.intersection(path[-1:]) or path[:1] == ("points",):
            continue
        data = copy.deepcopy(base)
        place = data
        for part in path:
            place = place[part]
        place["misspelt"] = 1

        assert not validator.is_valid(data), path
        tried += 1
    assert tried > 15


def keys(schema):
    """
    Yield every property of *schema*, wherever it is.
    """
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
    items = schema.values() if isinstance(schema, dict) else schema
    for item in items:
        if isinstance(item, (dict, list)):
            yield from keys(item)


def test_every_key_is_described():
    """
    Editors have a sentence to show for each key, at every level.
    """
    found = dict(keys(json_schema()))

    assert set(BLUEPRINT.keys) <= set(found)
    assert len(found) > 60
    for name, schema in found.items():
        assert schema["description"].endswith("."), name


def test_the_schema_is_json():
    """
    It can be written to a file, and says which draft it follows.
    """
    assert json.loads(json.dumps(json_schema())) == json_schema()
    assert json_schema()["$schema"].endswith("2020-12/schema")
