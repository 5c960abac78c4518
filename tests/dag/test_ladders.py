"""
DAGs of ladders and of slots: what they are made of, and whole runs of them.
"""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("airflow")

from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

# Prints the value and the resource, and what its parent left in its checkpoint.
CLIMB = (
    """printf '{{"y": %s, "epochs": {epochs}}}\\n' {x}; """
    """cat "$HPO_PARENT_CHECKPOINT_DIR/seen" 2>/dev/null; """
    """printf '{{"before": {epochs}}}\\n' > "$HPO_CHECKPOINT_DIR/seen" """
)

LADDER = {
    "strategy": {"name": "hyperband", "seed": 3},
    "budget": {"trials": 22},
    "resource": {"name": "epochs", "min": 1, "max": 9},
    "execution": {"concurrency": 2},
    "trial": {"command": CLIMB},
}
SLOTS = {"execution": {"mode": "async", "concurrency": 2}, "budget": {"trials": 5}}


@pytest.fixture(name="run")
def _run(load):
    """
    Runs a blueprint's text; returns its tasks' states, and the study's record.
    """

    def run(text, **options):
        dag = load(text)
        done = dag.test(**options)
        tasks = Counter((t.task_id, str(t.state)) for t in done.get_task_instances())
        study = Study.load(open_storage(), f"{dag.dag_id}-{done.run_id}")
        record = study.record(measurements=True)
        return str(done.state), tasks, record

    return run


def edges(dag):
    """
    Return the pairs of tasks of which one waits for the other.
    """
    return {(up, task.task_id) for task in dag.tasks for up in task.upstream_task_ids}


class TestLadder:
    """
    A group a bracket, a group a rung.
    """

    def test_brackets_stand_side_by_side(self, build):
        """
        Within a bracket each rung waits for the one below; brackets wait for nobody.
        """
        dag = build(**LADDER)

        expected = set()
        for bracket, height in ((2, 3), (1, 2), (0, 1)):
            chain = [
                f"bracket_{bracket}.rung_{rung}.{name}"
                for rung in range(height)
                for name in ("promote" if rung else "suggest", "trial", "evaluate")
            ]
            expected |= set(zip(chain, [*chain[1:], "report"], strict=True))
        assert edges(dag) == expected
        assert {task.task_id for task in dag.tasks if task.is_mapped} == {
            task.task_id for task in dag.tasks if task.task_id.endswith(".trial")
        }

    def test_a_model_gets_something_to_learn_from(self, build):
        """
        BOHB's brackets begin when the one before has ended its first rung.
        """
        dag = build(**{**LADDER, "strategy": {"name": "bohb"}})

        assert {
            ("bracket_2.rung_0.evaluate", "bracket_1.rung_0.suggest"),
            ("bracket_1.rung_0.evaluate", "bracket_0.rung_0.suggest"),
        } <= edges(dag)

    def test_one_limit_for_all_brackets(self, build):
        """
        The concurrency holds for all tasks of the run together.
        """
        assert build(**LADDER).max_active_tasks == 2
        assert build(**{**LADDER, "execution": {}}).max_active_tasks == 17

    def test_rungs_run_where_they_are_placed(self, build):
        """
        The first rungs keep the trial's place, upper ones have queue, pool and priority of theirs.
        """
        resource = {
            **LADDER["resource"],
            "rungs": [
                {"at_least": 3, "queue": "gpu", "pool": "gpus", "pool_slots": 2},
                {"at_least": 9, "queue": "big", "priority_weight": 5},
            ],
        }
        trial = {**LADDER["trial"], "queue": "cheap"}
        dag = build(**{**LADDER, "resource": resource, "trial": trial})

        places = {
            task.task_id: (task.queue, task.pool, task.pool_slots, task.priority_weight)
            for task in dag.tasks
            if task.is_mapped
        }
        assert places == {
            "bracket_2.rung_0.trial": ("cheap", "default_pool", 1, 1),
            "bracket_2.rung_1.trial": ("gpu", "gpus", 2, 1),
            "bracket_2.rung_2.trial": ("big", "default_pool", 1, 5),
            "bracket_1.rung_0.trial": ("gpu", "gpus", 2, 1),
            "bracket_1.rung_1.trial": ("big", "default_pool", 1, 5),
            "bracket_0.rung_0.trial": ("big", "default_pool", 1, 5),
        }

    def test_the_form_offers_what_can_be_changed(self, build):
        """
        Seed and study; the numbers of trials are the table's.
        """
        fields = set(build(**LADDER).params)

        assert fields == {"seed", "target", "study", "warm_start", "space.x"}

    def test_the_page_has_the_table(self, build):
        """
        The DAG's documentation shows brackets and rungs.
        """
        page = build(**LADDER).doc_md

        assert "at most 22 trials in 3 brackets, strategy `hyperband`" in page
        assert "| 2 | 1 | 3 | 3 | 1 |" in page

    def test_a_rung_that_is_too_wide_is_refused(self, build):
        """
        A rung with more trials than a mapped task may have is told before it runs.
        """
        resource = {"name": "epochs", "min": 1, "max": 3**7}
        budget = {"trials": 10**5}

        with pytest.raises(ValueError, match="max_map_length = 1024, got 2187 in rung 0"):
            build(**{**LADDER, "resource": resource, "budget": budget})

    def test_a_whole_run(self, run, document):
        """
        Every rung gets its trials, promoted ones find their parent's checkpoint, the best is at 9.
        """
        state, tasks, record = run(document("climb", **LADDER))

        assert state == "success"
        assert {name for name, outcome in tasks if outcome != "success"} == set()
        assert len(record.trials) == 22
        assert record.stop.rule == "trials"
        by_rung = Counter((t.labels["bracket"], t.labels["rung"]) for t in record.trials)
        assert by_rung == {(2, 0): 9, (2, 1): 3, (2, 2): 1, (1, 0): 5, (1, 1): 1, (0, 0): 3}
        for trial in record.trials:
            assert trial.metrics["epochs"] == trial.resource
            if trial.labels["rung"]:
                parent = record.trials[trial.parent]
                assert trial.metrics["before"] == parent.resource < trial.resource

    def test_a_bracket_without_survivors_ends(self, run, document):
        """
        Where all trials of a rung fail the rest of the bracket has nothing to do.
        """
        command = """test {epochs} -gt 1 && printf '{{"y": %s}}\\n' {x}"""

        state, tasks, record = run(document("die", **{**LADDER, "trial": {"command": command}}))

        assert state == "success"
        assert tasks["bracket_2.rung_1.trial", "skipped"] == 1
        assert record.stop.reason == "every rung has been run to its end"
        assert Counter(t.labels["bracket"] for t in record.trials) == {2: 9, 1: 6, 0: 3}

    def test_a_stop_ends_all_brackets(self, run, document):
        """
        Once the study has ended no rung begins anything.
        """
        stop = [{"metric": "y", "at_least": 0.0}]

        state, _, record = run(document("halt", **{**LADDER, "stop": stop}))

        assert state == "success"
        assert record.stop.rule == "metric"
        assert {t.labels["rung"] for t in record.trials} == {0}
        assert Counter(t.state.value for t in record.trials)["complete"] == 1


class TestSlots:
    """
    One mapped task over the slots.
    """

    def test_tasks(self, build):
        """
        The study is opened, the slots run, somebody settles them, and the report comes last.
        """
        dag = build(**SLOTS)

        assert edges(dag) == {("open", "trial"), ("trial", "settle"), ("settle", "report")}
        slots = dag.get_task("trial")
        assert slots.is_mapped
        assert slots.max_active_tis_per_dagrun == dag.max_active_tasks == 2
        fields = ["trials", "strategy", "seed", "target", "study", "warm_start", "space.x"]
        assert list(dag.params) == fields
        assert "at most 5 trials, 2 at a time" in dag.doc_md

    def test_many_slots_are_several_tasks(self, build):
        """
        No mapped task has more instances than Airflow allows.
        """
        dag = build(**{**SLOTS, "budget": {"trials": 2500}})

        lengths = {
            task.task_id: len(task.expand_input.value["slot"])
            for task in dag.tasks
            if task.is_mapped
        }
        assert lengths == {"trial_0": 1024, "trial_1": 1024, "trial_2": 452}
        assert dag.max_active_tasks == 2

    @pytest.mark.parametrize("strategy", ["random", "asha"])
    def test_a_whole_run(self, run, document, strategy):
        """
        Each slot runs a trial of its own, and the study ends with the last.
        """
        parts = {**LADDER, **SLOTS, "strategy": {"name": strategy, "seed": 3}}

        state, tasks, record = run(document(f"slots_{strategy}", **parts))

        assert state == "success"
        assert tasks["trial", "success"] == 5
        assert len(record.trials) == 5
        assert record.stop.rule == "trials"
        assert sorted(trial.key.rpartition("/")[2] for trial in record.trials) == list("01234")
        if strategy == "asha":
            assert Counter(t.resource for t in record.trials) == {1: 4, 3: 1}

    def test_fewer_trials_leave_slots_empty(self, run, document):
        """
        What the form takes away does not run.
        """
        state, _, record = run(document("fewer", **SLOTS), run_conf={"trials": 2})

        assert state == "success"
        assert len(record.trials) == 2

    def test_a_stop_leaves_the_rest_empty(self, run, document):
        """
        Once the study has ended no slot begins anything; failures before it are no obstacle.
        """
        command = """test "$HPO_TRIAL" != 0 && printf '{{"y": %s}}\\n' {x}"""
        stop = [{"metric": "y", "at_least": 0.0}]
        parts = {**SLOTS, "stop": stop, "trial": {"command": command}}

        state, tasks, record = run(document("halts", **parts))

        assert state == "success"
        assert tasks["trial", "failed"] == 1
        assert [trial.state.value for trial in record.trials] == ["failed", "complete"]
