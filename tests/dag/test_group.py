"""
Searches inside other DAGs: `tune`, and functions as trials.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow")

from airflow.sdk import DAG, BaseOperator, XComArg, task

from airflow_hpo import Search, hpo_trial, measure, tune
from airflow_hpo.errors import BlueprintError
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

TINY = {
    "hpo": 1,
    "name": "tiny",
    "objective": {"metric": "y", "direction": "maximize"},
    "space": {"x": {"float": [0, 1]}},
    "strategy": {"name": "random", "seed": 3},
    "budget": {"trials": 3},
    "execution": {"batch_size": 2},
}


def square(x):
    """
    Return the only metric.
    """
    return x * x


@pytest.fixture(name="dag")
def _dag():
    """
    A DAG without tasks, as the one at hand.
    """
    with DAG("pipeline", schedule=None) as dag:
        yield dag


def edges(dag):
    """
    Return the DAG's edges as pairs of task ids.
    """
    return {(up, each.task_id) for each in dag.tasks for up in each.upstream_task_ids}


def test_a_search_is_a_group_of_tasks(dag):
    """
    What stands before it waits for nothing of it, its report comes last, and what uses the best
    trial waits for that.
    """

    @task
    def prepare():
        return 1

    @task
    def register(best, x):
        return best, x

    search = tune(TINY, trial=square)
    prepare() >> search >> register(search.best, search.best_params["x"])

    assert isinstance(search, Search)
    assert search.group_id == "tiny"
    found = edges(dag)
    assert ("prepare", "tiny.round_00.suggest") in found
    assert ("tiny.round_00.trial", "tiny.round_00.evaluate") in found
    assert ("tiny.round_01.evaluate", "tiny.report") in found
    assert ("tiny.report", "register") in found
    assert search.report.watched[0] == "tiny.round_00.suggest"
    assert "key='best_params')" in str(search.best_params)
    assert "task_ids='tiny.report'" in str(search.best_params["x"])
    assert "key='best_params.x')" in str(search.best_params["x"])
    assert isinstance(search.summary, XComArg)


def test_several_searches_have_ids_and_studies_of_their_own(dag):
    """
    The same blueprint twice: groups are told apart, and so are their studies.
    """
    searches = [
        tune(TINY, trial=square),
        tune(TINY, trial=square),
        tune(TINY, trial=square, group_id="other"),
    ]

    assert [search.group_id for search in searches] == ["tiny", "tiny__1", "other"]
    studies = {search.report.study for search in searches}
    assert len(studies) == 3
    assert "{{ dag.dag_id }}.tiny-{{ run_id }}" in studies


def test_searches_must_not_share_a_study(dag):
    """
    Two searches of one fixed study are refused, with what to do about it.
    """
    tune({**TINY, "study": "mine"}, trial=square)

    with pytest.raises(ValueError, match=r"study of its own, got 'mine' in 'tiny__1' and in task"):
        tune({**TINY, "study": "mine"}, trial=square)


@pytest.mark.parametrize("mode", ["batch", "async", "ladder"])
def test_every_shape_fits_into_a_group(dag, mode, serialise):
    """
    Tasks name each other by the ids that they have in the group, and the DAG can be serialised.
    """
    parts = {
        "batch": {},
        "async": {"execution": {"mode": "async", "concurrency": 2}},
        "ladder": {
            "strategy": {"name": "hyperband", "seed": 1},
            "resource": {"name": "epochs", "min": 1, "max": 3},
            "budget": {"trials": 6},
        },
    }[mode]

    def train(x, epochs=1):
        return x * epochs

    search = tune({**TINY, **parts}, trial=train)

    assert set(search.report.watched) <= set(dag.task_ids)
    for each in dag.tasks:
        named = [getattr(each, "suggest_task_id", None), getattr(each, "trial_task_id", None)]
        named += [name for later in getattr(each, "later", ()) for name in later]
        assert {name for name in named if name} <= set(dag.task_ids)
    assert json.dumps(serialise(dag)) == json.dumps(serialise(dag))


def test_a_blueprint_s_file_stands_beside_the_caller(dag, tmp_path):
    """
    A relative path starts from the file that calls; without a trial the blueprint's own is run.
    """
    text = json.dumps({**TINY, "trial": {"command": "echo {x}"}})
    (tmp_path / "tiny.yaml").write_text(text)
    namespace = {"__file__": str(tmp_path / "pipeline.py")}

    exec("from airflow_hpo import tune\nsearch = tune('tiny.yaml')", namespace)

    sealed = namespace["search"].report.blueprint
    assert sealed.blueprint.trial.steps[0].command == "echo {x}"
    assert sealed.blueprint.source.file == str(tmp_path / "tiny.yaml")


def test_problems_of_the_blueprint_come_all_at_once(dag):
    """
    What a mapping gets wrong is refused as in a file; without code it needs a trial.
    """
    with pytest.raises(BlueprintError, match=r"(?s)budget must be given.*trial must be given"):
        tune({key: value for key, value in TINY.items() if key != "budget"})


def test_the_function_must_take_the_parameters(dag):
    """
    Each parameter that it does not take, and each that it needs and nobody gives, is told.
    """

    def train(y, z, *, ti):
        return y, z, ti

    with pytest.raises(ValueError, match=r"take the parameter x; y must have .*; z must have"):
        tune(TINY, trial=train)


def test_a_conditional_parameter_needs_a_default(dag):
    """
    What is not always active is not always given.
    """
    space = {"x": {"choice": ["a", "b"]}, "m": {"float": [0, 1], "when": {"x": "a"}}}

    with pytest.raises(ValueError, match="m must have a default, as it is not always active"):
        tune({**TINY, "space": space}, trial=lambda x, m: (x, m))


def test_what_is_no_code_is_refused(dag):
    """
    An operator is not a trial, but what a trial's function may return.
    """
    with pytest.raises(TypeError, match="must be a function or a TaskFlow task, got BaseOperator"):
        tune(TINY, trial=BaseOperator(task_id="other"))


def test_unknown_parameters_of_the_best_are_refused(dag):
    """
    A name that the space does not have is refused while the DAG is parsed, with the nearest.
    """
    search = tune({**TINY, "space": {"rate": {"float": [0, 1]}}}, trial=lambda rate: rate)

    with pytest.raises(KeyError, match="one of rate, got 'rat'; did you mean 'rate'"):
        search.best_params["rat"]


def test_options_of_a_taskflow_task_are_the_trials_(dag):
    """
    Pool, queue and retries of the task, and its arguments that are the same for all, are kept.
    """

    @task
    def prepare():
        return "data"

    @task(pool="gpu", retries=3)
    def train(data, x):
        return len(data) * x

    search = tune(
        {**TINY, "trial": {"command": "x {x}", "timeout": "1m"}},
        trial=train.partial(data=prepare()),
    )

    trial = dag.get_task("tiny.round_00.trial")
    assert (trial.pool, trial.retries) == ("gpu", 6)
    assert trial.partial_kwargs["execution_timeout"] == timedelta(minutes=1)
    assert ("prepare", "tiny.round_00.trial") in edges(dag)
    retries = search.report.blueprint.blueprint.trial.retries
    assert (retries.infrastructure, retries.code) == (3, 3)


def test_a_function_takes_the_place_of_all_steps(dag):
    """
    What the blueprint's steps ask of Airflow is kept, and the trial is one task.
    """
    steps = [
        {"name": "prepare", "command": "true", "once": True},
        {"name": "train", "command": "true {x}", "queue": "fast"},
        {"name": "judge", "command": "true {x}", "pool": "gpu"},
    ]

    search = tune({**TINY, "trial": {"steps": steps}}, trial=square)

    trial = dag.get_task("tiny.round_00.trial")
    assert (trial.queue, trial.pool) == ("fast", "gpu")
    assert [step.command for step in search.report.blueprint.blueprint.trial.steps] == [""]


RUN = """
from datetime import timedelta

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Param, task

from airflow_hpo import measure, tune

BLUEPRINT = {blueprint!r}


@task
def prepare():
    return 2.0


def by_hand(x, data):
    return {{"y": data * x}}


@task.hpo_trial
def on_the_way(x, ti, scale=1.0):
    for step in range(3):
        measure(y=scale * (x + step), step=step)
    return {{"by": ti.task_id}}


def yielding(x):
    try:
        for step in range(3):
            yield {{"y": x - step}}
    finally:
        print("cleaned up")


@task
def doubtful(x):
    if x < 2:
        raise ValueError("no such luck")


def launched(x):
    return PythonOperator(task_id="launch", python_callable=lambda: x / 2)


@task.bash
def shell(x):
    return f"echo {{x}}"


@task
def register(best, x):
    assert best["parameters"] == {{"x": x}}
    return best


with DAG("pipeline", schedule=None, catchup=False) as dag:
    search = tune(BLUEPRINT, trial=task(by_hand).partial(data=prepare()))
    register(search.best, search.best_params["x"])
    again = on_the_way(x=search.best_params["x"], scale=10.0)

with DAG("kinds", schedule=None, catchup=False) as kinds:
    strict = {{**BLUEPRINT, "pruner": {{"name": "threshold", "lower": 1.5}}}}
    tune(BLUEPRINT, trial=on_the_way, group_id="measures", study="measures")
    tune(strict, trial=yielding, group_id="yields", study="yields")
    tune(BLUEPRINT, trial=launched, group_id="launches", study="launches")
    tune(BLUEPRINT, trial=shell, group_id="shells", study="shells")
    tune(BLUEPRINT, trial=doubtful, group_id="doubts", study="doubts")
"""


@pytest.fixture(name="dags")
def _dags(dags_folder, dag_bag):
    """
    The DAGs of a file with searches of many kinds.
    """
    (dags_folder / "pipeline.py").write_text(RUN.format(blueprint=TINY))
    bag = dag_bag(dags_folder / "pipeline.py")
    assert bag.import_errors == {}
    return bag.dags


def _run(dag):
    done = dag.test(logical_date=datetime(2026, 1, 1, tzinfo=timezone.utc))
    tasks = {(each.task_id, each.map_index): str(each.state) for each in done.get_task_instances()}
    return str(done.state), tasks, done.run_id


def _returned(dag_id, run_id, task_id):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(XComModel.value).where(
        XComModel.dag_id == dag_id,
        XComModel.run_id == run_id,
        XComModel.task_id == task_id,
        XComModel.key == "return_value",
    )
    with create_session() as session:
        value = session.scalar(query)
    return json.loads(value) if isinstance(value, str) else value


def test_a_pipeline_runs(dags):
    """
    What is prepared reaches the trials, the best trial what comes after, and a trial's function is
    an ordinary task where it is called.
    """
    state, tasks, run_id = _run(dags["pipeline"])

    assert (state, set(tasks.values())) == ("success", {"success"})
    record = Study.load(open_storage(), f"pipeline.tiny-{run_id}").record()
    assert [trial.values[0] / trial.configuration["x"] for trial in record.trials] == [2.0] * 3
    best = max(record.trials, key=lambda trial: trial.values)
    found = _returned("pipeline", run_id, "register")
    assert (found["trial"], found["value"]) == (best.number, best.values[0])
    assert found["study"] == record.name
    assert _returned("pipeline", run_id, "on_the_way") == {"by": "on_the_way"}


def test_every_kind_of_trial_runs(dags):
    """
    Functions that measure on the way or yield, operators that they return, TaskFlow tasks of other
    kinds, and functions that fail: each tells its study.
    """
    state, tasks, _ = _run(dags["kinds"])

    def record(name):
        return Study.load(open_storage(), name).record(measurements=True)

    assert state == "failed"  # nothing is best where all trials failed
    assert tasks["doubts.report", -1] == "failed"
    measured = record("measures").trials
    assert all(len(trial.measurements) == 4 for trial in measured)
    assert [trial.values[0] for trial in measured] == [
        trial.configuration["x"] + 2 for trial in measured
    ]
    assert {trial.metrics["by"] for trial in measured} == {"measures.round_00.trial"} | {
        "measures.round_01.trial"
    }
    assert {trial.state.value for trial in record("yields").trials} == {"pruned"}
    assert all(len(trial.measurements) == 1 for trial in record("yields").trials)
    for name, factor in (("launches", 0.5), ("shells", 1.0)):
        trials = record(name).trials
        assert [trial.values[0] for trial in trials] == pytest.approx(
            [factor * trial.configuration["x"] for trial in trials]
        )
    doubts = record("doubts").trials
    assert {trial.failure.value for trial in doubts} == {"code"}
    assert "ValueError: no such luck" in doubts[0].reason


def test_measuring_outside_of_a_trial_prints(capsys):
    """
    The same code works as a command, whose output is searched for JSON.
    """
    measure({"val/loss": 1}, epoch=2)

    assert json.loads(capsys.readouterr().out) == {"val/loss": 1, "epoch": 2}


def test_the_decorator_is_airflow_s_too():
    """
    ``@task.hpo_trial`` is what the package exports.
    """
    assert task.hpo_trial is hpo_trial
