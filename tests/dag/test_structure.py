"""
What a blueprint's DAG is made of.
"""

from __future__ import annotations

import json

import pytest

pytest.importorskip("airflow")

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.factory import build_dag


def test_rounds_follow_each_other(build):
    """
    Each round suggests, runs mapped trials and evaluates; the report comes last.
    """
    dag = build(budget={"trials": 5}, execution={"batch_size": 2})

    edges = {(up, task.task_id) for task in dag.tasks for up in task.upstream_task_ids}
    chain = [
        f"round_{number:02d}.{name}"
        for number in range(3)
        for name in ("suggest", "trial", "evaluate")
    ]
    assert edges == set(zip(chain, [*chain[1:], "report"], strict=True))
    assert [task.task_id for task in dag.tasks if task.is_mapped] == chain[1::3]


def test_names_of_rounds_sort(build):
    """
    With more than a hundred rounds, their names still sort as they run.
    """
    dag = build(budget={"trials": 101}, execution={"batch_size": 1})

    names = [task.task_id for task in dag.tasks if task.task_id.endswith("suggest")]
    assert len(names) == 101
    assert names == sorted(names)
    assert names[0] == "round_000.suggest"


def test_trials_take_over_what_the_blueprint_says(build):
    """
    Pool, slots, queue, priority, concurrency and retries reach the trials' task.
    """
    step = {"name": "trial", "command": "true {x}", "pool": "gpu", "pool_slots": 2}
    trial = {
        "steps": [{**step, "queue": "fast", "priority_weight": 7}],
        "retries": {"infrastructure": 3, "code": 1},
    }

    dag = build(trial=trial, execution={"batch_size": 2, "concurrency": 4})

    task = dag.get_task("round_00.trial")
    assert (task.pool, task.pool_slots, task.queue, task.priority_weight) == ("gpu", 2, "fast", 7)
    assert task.max_active_tis_per_dagrun == 4
    assert task.retries == 4


def test_the_dag_is_what_the_blueprint_says(build):
    """
    Id, schedule, start, tags, owner, retries and active runs come from it.
    """
    dag = build(
        description="Tunes it.",
        dag={
            "id": "other",
            "schedule": "0 6 * * *",
            "start_date": "2026-01-31",
            "catchup": True,
            "tags": ["ml"],
            "owner": "ada",
            "retries": 1,
            "max_active_runs": 3,
        },
    )

    assert dag.dag_id == "other"
    assert dag.schedule == "0 6 * * *"
    assert dag.start_date.isoformat() == "2026-01-31T00:00:00+00:00"
    assert dag.catchup is True
    assert dag.tags == {"hpo", "ml"}
    assert dag.max_active_runs == 3
    assert {(task.owner, task.retries) for task in dag.tasks if not task.is_mapped} == {("ada", 1)}
    assert dag.description == "Tunes it."


def test_a_wide_round_runs_at_once(build):
    """
    A round that is wider than Airflow's default limit raises the limit.
    """
    wide = build(budget={"trials": 40}, execution={"batch_size": 40})
    held = build(budget={"trials": 40}, execution={"batch_size": 40, "concurrency": 3})

    assert wide.max_active_tasks == 40
    assert held.max_active_tasks == 16


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", 0),
        ("trials", 6),
        ("trials", "many"),
        ("batch_size", 0),
        ("batch_size", 6),
        ("seed", -1),
        ("seed", 1.5),
        ("study", 7),
        ("strategy", "hyperband"),
        ("target", "high"),
        ("warm_start", 7),
        ("space.x", "a lot"),
        ("space.x", [1]),
        ("space.x", [0, "b"]),
        ("space.x", None),
        ("space.c", []),
        ("space.c", ["a", "a"]),
    ],
)
def test_the_form_refuses_what_is_out_of_bounds(build, name, value):
    """
    A value that the DAG has no room for is refused before a run begins.
    """
    space = {"x": {"float": [0, 1]}, "c": {"choice": ["a", "b"]}}
    dag = build(budget={"trials": 5}, space=space)

    with pytest.raises(Exception, match=f"Invalid input for param {name}"):
        dag.params[name] = value


@pytest.mark.parametrize("value", ["0.1 to 0.5", "1e-3, .5", "0..1", [0.1, 0.5], [0, 1]])
def test_the_form_takes_bounds_as_text_or_list(build, value):
    """
    A line of text as a person writes it, a list as a program does.
    """
    dag = build()

    dag.params["space.x"] = value

    assert dag.params["space.x"] == value


def test_the_form_offers_strategies_that_can_search_the_space(build):
    """
    Those that cannot, and those whose DAG would be another one, are not in the list.
    """
    offered = build().params.get_param("strategy").schema["enum"]

    assert {"random", "tpe", "hyperopt_tpe"} <= set(offered)
    assert {"grid", "manual", "hyperband", "asha"} & set(offered) == set()


def test_the_form_shows_the_blueprint_s_values(build):
    """
    The defaults are the blueprint's; every field has a title and a description.
    """
    dag = build(budget={"trials": 5}, execution={"batch_size": 2})

    assert dag.params.dump() == {
        "trials": 5,
        "batch_size": 2,
        "strategy": "random",
        "seed": 3,
        "target": None,
        "study": None,
        "warm_start": None,
        "space.x": "0.0 to 1.0",
    }
    fields = [dag.params.get_param(name) for name in dag.params]
    assert all(field.schema["title"] and field.description for field in fields)


def test_a_space_that_is_smaller_than_the_budget_caps_the_form(build):
    """
    The form offers no more trials than the space has configurations.
    """
    dag = build(space={"x": {"choice": [1, 2, 3]}}, strategy={"name": "grid"}, budget={"trials": 9})

    assert dag.params["trials"] == 3
    assert [task.task_id for task in dag.tasks if task.is_mapped] == [
        "round_00.trial",
        "round_01.trial",
    ]
    assert "3 configurations" in dag.doc_md


def test_the_documentation_holds_the_blueprint(build, document):
    """
    Text and checksum stand in the DAG's documentation, whatever marks they hold.
    """
    text = document("tiny", description="Ends a fence: ```` here.")
    (blueprint,) = parse_blueprints(text, file="tiny.yaml")

    page = build_dag(blueprint).doc_md

    assert f"\n`````yaml\n{text}\n`````\n" in page
    assert blueprint.source.sha256 in page


def test_the_name_of_the_study_is_a_template(build):
    """
    A name of the blueprint's own is kept; every task renders the same one.
    """
    dag = build(study="mine-{{ ds }}")

    templates = {
        task.partial_kwargs["study"] if task.is_mapped else task.study for task in dag.tasks
    }
    assert len(templates) == 1
    assert "mine-{{ ds }}" in templates.pop()


def test_the_blueprint_is_serialised_once(build, serialise):
    """
    Tasks carry the blueprint's name and checksum; the text is in the page alone.
    """
    data = serialise(build(description="A word that is rare: xylophone."))

    assert data["dag"].pop("doc_md").count("xylophone") == 2
    data["dag"].pop("description")
    text = json.dumps(data)
    assert "xylophone" not in text
    assert text.count("tiny (native ") == 3
