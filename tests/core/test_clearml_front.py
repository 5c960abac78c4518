"""
ClearML's scripts: arguments, base tasks, callbacks and limits, and whole scripts on real training.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import textwrap
import time
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import airflow_hpo.clearml
from airflow_hpo.blueprint import load_blueprint
from airflow_hpo.clearml import Logger, Task
from airflow_hpo.clearml.automation import (
    DiscreteParameterRange,
    GridSearch,
    HyperParameterOptimizer,
    Parameter,
    ParameterSet,
    RandomSeed,
    UniformParameterRange,
)
from airflow_hpo.clearml.automation.optuna import OptimizerOptuna
from airflow_hpo.errors import BlueprintError
from airflow_hpo.model.trial import TrialState
from airflow_hpo.strategies.qmc import QmcStrategy

# The page that shows ClearML's own script, where somebody has put it.
PAGE = Path(__file__).parents[3] / "shared" / "requirements" / "004_77f18d7fa85b70bb.txt"

PRINTS = "echo '{{\"y\": '{x}', \"iteration\": 7}}'"

# A script of somebody who tunes with ClearML, after its import lines were changed.
BASE = """
import os
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from airflow_hpo.clearml import Task

task = Task.init(project_name="examples", task_name="Keras HP optimization base")
settings = task.connect({"layer_1": 32, "layer_2": 32, "batch_size": 256, "epochs": 1})
images, labels = load_digits(return_X_y=True)
data = train_test_split(images[:900] / 16, labels[:900], random_state=0)
model = MLPClassifier(
    (settings["layer_1"], settings["layer_2"]), batch_size=settings["batch_size"], random_state=0,
    learning_rate_init=0.01,
)
for epoch in range(min(settings["epochs"], 3)):
    model.partial_fit(data[0], data[2], classes=range(10))
    accuracy = model.score(data[1], data[3])
    task.get_logger().report_scalar("val_acc", "val_acc", value=accuracy, iteration=epoch)
"""

SCRIPT = """
from airflow_hpo.clearml import Task
from airflow_hpo.clearml.automation import (
    DiscreteParameterRange, HyperParameterOptimizer, UniformIntegerParameterRange
)
from airflow_hpo.clearml.automation.optuna import OptimizerOptuna

best = []

def finished(job_id, objective_value, objective_iteration, job_parameters, top_performance_job_id):
    print("ended", job_id, objective_value, objective_iteration, sorted(job_parameters))
    if job_id == top_performance_job_id:
        best.append(objective_value)

task = Task.init("tuning", "digits", task_type=Task.TaskTypes.optimizer, reuse_last_task_id=False)
wanted = task.connect({"template": None})
template = wanted["template"] or Task.get_task(
    project_name="examples", task_name="Keras HP optimization base"
).id
optimizer = HyperParameterOptimizer(
    base_task_id=template,
    hyper_parameters=[
        UniformIntegerParameterRange("General/layer_1", min_value=16, max_value=64, step_size=16),
        DiscreteParameterRange("batch_size", values=[16, 32]),
        DiscreteParameterRange("epochs", values=[2]),
    ],
    objective_metric_title="val_acc",
    objective_metric_series="val_acc",
    objective_metric_sign="max_global",
    max_number_of_concurrent_tasks=2,
    optimizer_class=OptimizerOptuna,
    execution_queue="1xGPU",
    time_limit_per_job=10.0,
    total_max_jobs=4,
)
optimizer.set_report_period(0.2)
optimizer.start(job_complete_callback=finished)
optimizer.set_time_limit(in_minutes=10.0)
optimizer.wait()
top = optimizer.get_top_experiments(top_k=3)
assert best == sorted(set(best)), best
assert len(top) == 3
assert top[0].get_last_scalar_metrics()["val_acc"]["val_acc"]["max"] == best[-1] > 0.2
print("top", [experiment.id for experiment in top])
optimizer.stop()
"""


@pytest.fixture(autouse=True, name="home")
def _home(tmp_path, monkeypatch):
    """
    A journal, a folder of artifacts and recorded tasks of the test's own.
    """
    for name in ("HPO_PARAMS_FILE", "HPO_RESOURCE", "HPO_MAX_ITERATIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HPO_STORAGE", f"sqlite:///{tmp_path / 'studies.db'}")
    monkeypatch.setenv("HPO_ARTIFACTS", str(tmp_path / "artifacts"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


def optimiser(*parameters, **more):
    """
    Return an optimiser of a command that prints its value.
    """
    arguments = {
        "base_task_id": PRINTS,
        "hyper_parameters": list(parameters) or [UniformParameterRange("x", 0, 1)],
        "objective_metric_title": "y",
        "objective_metric_series": "y",
        "objective_metric_sign": "max",
        "max_number_of_concurrent_tasks": 2,
        "total_max_jobs": 4,
        **more,
    }
    return HyperParameterOptimizer(**arguments)


def script(text, name="script.py"):
    """
    Run a script as a process of its own, to its end; returns what it printed.
    """
    Path(name).write_text(text)
    done = subprocess.run(
        [sys.executable, name], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


class TestArguments:
    """
    The arguments mean what they mean in a file, and are checked at once.
    """

    def test_problems_name_argument_and_line(self):
        """
        All that is wrong is said at once, by the argument and at the line of the call.
        """
        line = sys._getframe().f_lineno + 2
        with pytest.raises(BlueprintError) as caught:
            HyperParameterOptimizer(
                PRINTS, [UniformParameterRange("x", 2, 1)], "y", "y", "most", total_jobs=5
            )

        found = [(item.path, item.line, Path(item.file).name) for item in caught.value.problems]
        here = Path(__file__).name
        wrong = [item for item in found if item[0] != "total_max_jobs"]
        assert sorted(wrong) == [
            ("hyper_parameters.0", line, here),
            ("objective_metric_sign", line, here),
            ("total_jobs", line, here),
        ]
        assert "did you mean" in str(caught.value)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"base_task_id": "nothing"}, "a task must have been run once, .* got 'nothing'"),
            ({"base_task_id": "missing.py"}, "base_task_id must be a script that exists"),
            (
                {"optimizer_class": int},
                "optimizer_class must be RandomSearch, .* got <class 'int'>",
            ),
            ({"optimizer_class": "Nobody"}, "optimizer_class: must be one of RandomSearch"),
            ({"hyper_parameters": [object()]}, "hyper_parameters must hold numbers, text"),
            ({"hyper_parameters": []}, "hyper_parameters: must have a parameter"),
            ({"total_max_jobs": 0}, "total_max_jobs: must be at least 1"),
            (
                {"optuna_sampler": "Best", "optimizer_class": OptimizerOptuna},
                "optuna_sampler: must",
            ),
            ({"max_number_of_concurrent_tasks": 1.5}, "must be a whole number"),
        ],
    )
    def test_wrong_arguments(self, arguments, message):
        """
        A wrong argument is a ValueError that names it and what was got.
        """
        with pytest.raises(ValueError, match=message):
            optimiser(**arguments)

    def test_what_has_no_effect_is_said(self):
        """
        An argument that changes nothing here is warned of at the script's line.
        """
        with pytest.warns(UserWarning, match="pool_period_min: has no effect") as caught:
            optimiser(pool_period_min=0.1)

        assert [item.filename for item in caught] == [__file__]

    def test_usual_arguments_are_not_warned_of(self):
        """
        What ClearML takes by itself is no reason for a warning.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            optimiser(
                execution_queue="default",
                auto_connect_task=True,
                always_create_task=False,
                spawn_project=None,
                save_top_k_tasks_only=None,
                time_limit_per_job=None,
            )

    def test_numbers_of_other_libraries(self):
        """
        Numbers of NumPy's and other sequences than lists are taken for what they are.
        """
        numpy = pytest.importorskip("numpy")
        values = numpy.arange(1, 4)

        found = optimiser(DiscreteParameterRange("x", tuple(values)), total_max_jobs=numpy.int64(3))

        assert found.blueprint.space.by_name["x"].distribution.choices == (1, 2, 3)
        assert found.blueprint.budget.trials == 3

    def test_strategies_of_ones_own(self):
        """
        The class of a strategy is taken for the optimizer's, with its options.
        """
        found = optimiser(optimizer_class=QmcStrategy, sequence="halton").blueprint.strategy

        assert found.name == "airflow_hpo.strategies.qmc:QmcStrategy"
        assert found.options == {"sequence": "halton"}

    def test_samplers_and_pruners_of_optuna(self):
        """
        Classes and objects of Optuna's are taken by their name, or refused.
        """
        optuna = pytest.importorskip("optuna")

        found = optimiser(
            optimizer_class=OptimizerOptuna,
            optuna_sampler=optuna.samplers.RandomSampler,
            optuna_pruner=optuna.pruners.NopPruner,
        )

        assert found.blueprint.strategy.name == "random"
        assert found.blueprint.pruner is None
        found = optimiser(
            optimizer_class=OptimizerOptuna,
            optuna_sampler=optuna.samplers.TPESampler(n_startup_trials=3, multivariate=True),
            optuna_pruner=optuna.pruners.ThresholdPruner(lower=0.1, n_warmup_steps=4),
        )
        assert found.blueprint.strategy.startup_trials == 3
        assert found.blueprint.strategy.options == {"multivariate": True}
        assert found.blueprint.pruner.options == {"lower": 0.1, "warmup": 4}
        with pytest.raises(ValueError, match="optuna_pruner: must be one of MedianPruner"):
            optimiser(
                optimizer_class=OptimizerOptuna, optuna_pruner=optuna.pruners.HyperbandPruner()
            )

    def test_files_mean_the_same(self, home):
        """
        What is written is the blueprint, and reads back as such.
        """
        one = optimiser(
            ParameterSet([{"x": 1}, {"x": 2}]),
            base_task_id="train {x:--x}",
            airflow_hpo={"name": "a_study"},
        )

        path = one.write(home / "written.yaml")

        again = load_blueprint(path)
        assert again.model_copy(update={"source": one.blueprint.source}) == one.blueprint
        assert path.read_text() == one.to_yaml()
        assert again.name == "a_study"

    def test_public_names(self):
        """
        Every public name can be had, in the order of the alphabet.
        """
        names = airflow_hpo.clearml.__all__

        assert names == sorted(names)
        assert all(getattr(airflow_hpo.clearml, name).__name__ == name for name in names)
        with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
            _ = airflow_hpo.clearml.Nothing

    def test_seed(self):
        """
        The seed that was set is the study's; without one there is none.
        """
        assert RandomSeed.get_random_seed() is None
        assert optimiser().blueprint.strategy.seed is None
        try:
            RandomSeed.set_random_seed(5)
            assert optimiser().blueprint.strategy.seed == 5
            first = UniformParameterRange("x", 0, 1).get_value()
            RandomSeed.set_random_seed(5)
            assert UniformParameterRange("x", 0, 1).get_value() == first
        finally:
            RandomSeed._seed = None

    def test_sets_draw_and_list_what_is_in_them(self):
        """
        A set draws one of its combinations, and lists all of them with all of their values.
        """
        found = ParameterSet([{"a": 1, "b": DiscreteParameterRange("b", [2, 3])}, {"a": 4}])

        assert found.to_list() == [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 4}]
        assert all(found.get_value() in found.to_list() for _ in range(20))
        with pytest.raises(ValueError, match=r"type must be one of .*, got 'Uniform'"):
            Parameter.from_dict({"type": "Uniform"})


class TestTasks:
    """
    A script that was run once can be run again as a base task.
    """

    def test_trials_get_what_is_connected(self):
        """
        A dict, parsed arguments and an object get the trial's values, whatever the section.
        """
        text = """
            import argparse, json
            from airflow_hpo.clearml import Logger, Task

            class Config:
                depth = 1

            task = Task.init("p", "kinds")
            config = Config()
            config.width = 2
            parser = argparse.ArgumentParser()
            parser.add_argument("--rate", type=float, default=0.5)
            values = {"deep": {"er": 1}, "left": "alone"}
            for item in (values, parser.parse_args([])):
                task.connect(item)
            task.connect(config, name="model")
            found = [values, task.get_parameters(), config.depth, config.width]
            print("found", json.dumps(found))
            Logger.current_logger().report_scalar("y", "y", 1, 0)
        """
        script(textwrap.dedent(text), "base.py")
        found = optimiser(
            DiscreteParameterRange("General/deep/er", [7]),
            DiscreteParameterRange("Args/rate", [0.25]),
            ParameterSet([{"model/depth": 3, "model/width": 4}, {"model/depth": 5}]),
            base_task_id=Task.get_task(project_name="p", task_name="kinds").id,
            optimizer_class=GridSearch,
        )

        found.start()
        assert found.wait(1)

        logs = sorted(Path(os.environ["HPO_ARTIFACTS"]).rglob("*.log"))
        printed = [
            json.loads(line.partition("found ")[2])
            for log in logs
            for line in log.read_text().splitlines()
            if "found " in line
        ]
        assert len(printed) == 2
        assert [item[2:] for item in printed] == [[3, 4], [5, 2]]
        for values, parameters, depth, _ in printed:
            assert values == {"deep": {"er": 7}, "left": "alone"}
            assert parameters["Args/rate"] == 0.25
            assert parameters["model/depth"] == depth

    def test_what_is_not_connected_is_passed_as_an_option(self):
        """
        A parameter that the task does not connect is warned of and passed all the same.
        """
        text = 'import sys\nfrom airflow_hpo.clearml import Task\ntask = Task.init("p", "half")\n'
        script(text + 'task.connect({"rate": 1})\n', "base.py")
        parameters = [UniformParameterRange("rate", 0, 1), UniformParameterRange("rates", 0, 1)]

        with pytest.warns(UserWarning, match="rates: is no parameter that 'half' connects"):
            found = optimiser(*parameters, base_task_id=Task.get_task(task_name="half").id)

        command = found.blueprint.trial.steps[0].command
        assert command.endswith("base.py {rates:--rates=}")
        assert found.blueprint.trial.workdir == str(Path.cwd())

    def test_scripts_that_know_nothing_of_it(self):
        """
        Any script can be made a task, or named as it is.
        """
        Path("plain.py").write_text(
            "import sys\nprint('{\"y\": ' + sys.argv[-1].partition('=')[2] + '}')\n"
        )
        made = Task.create("p", "plain", script="plain.py", argparse_args=[("fixed", 1)])

        for base in (made.id, made, "plain.py", Path("plain.py")):
            found = optimiser(DiscreteParameterRange("Args/x", [1, 2]), base_task_id=base,
                              optimizer_class=GridSearch, total_max_jobs=2)  # fmt: skip
            found.start()
            assert found.wait(1)
            (best, _) = found.get_top_experiments(2)
            assert best.get_parameters() == {"Args/x": 2}

    def test_unknown_tasks(self):
        """
        A task that was never run is refused with those that there are.
        """
        with pytest.raises(ValueError, match="there are none yet"):
            Task.get_task(task_id="abc")
        Path("plain.py").write_text("")
        Task.create("p", "plain", script="plain.py")
        with pytest.raises(ValueError, match="got 'p/plane'; did you mean 'p/plain'"):
            Task.get_task(project_name="p", task_name="plane")
        with pytest.raises(ValueError, match=r"script must be a file, got 'no\.py'"):
            Task.create("p", "none", script="no.py")

    def test_services_go_on_here(self):
        """
        A script that would enqueue itself goes on, and is told so.
        """
        task = Task.init("p", "service")

        with pytest.warns(UserWarning, match="execute_remotely has no effect"):
            task.execute_remotely(queue_name="services", exit_process=True)
        assert Task.current_task() is task
        assert (task.name, task.get_project_name()) == ("service", "p")

    def test_options_are_of_the_section_args(self):
        """
        Parsed arguments are recorded as such.
        """
        task = Task.init("p", "args")

        task.connect(argparse.Namespace(rate=1))

        assert task.get_parameters() == {"Args/rate": 1}
        assert Task.get_task(task.id).get_parameters() == {"Args/rate": 1}

    @pytest.mark.parametrize("variable", ["HPO_RESOURCE", "HPO_MAX_ITERATIONS"])
    def test_a_trial_ends_with_its_iterations(self, variable, monkeypatch, capsys):
        """
        What is reported beyond the trial's iterations ends it well, unreported.
        """
        monkeypatch.setenv(variable, "3")
        logger = Logger()

        for iteration in (1, 2, 3):
            logger.report_scalar("a", "b", value=0.5, iteration=iteration)

        with pytest.raises(SystemExit) as caught:
            logger.report_scalar("a", "b", value=0.5, iteration=4)
        assert caught.value.code == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert lines == [{"a/b": 0.5, "iteration": number} for number in (1, 2, 3)]

    def test_values_without_iterations(self, capsys):
        """
        A single value is a metric too, text is text.
        """
        logger = Logger.current_logger()

        logger.report_single_value("z", 2)
        logger.report_text("hello")
        logger.flush()

        assert capsys.readouterr().out.splitlines() == ['{"z": 2.0}', "hello"]


class TestRunning:
    """
    A study runs in the background and can be waited for, asked and ended.
    """

    def test_before_it_starts(self):
        """
        An optimiser that was not started yet answers everything.
        """
        found = optimiser()

        assert found.is_active()
        assert not found.is_running()
        assert found.elapsed() == -1
        assert found.wait()
        assert found.get_top_experiments(3) == []
        assert found.get_num_active_experiments() == 0
        found.stop()

    def test_stop_ends_running_trials(self):
        """
        stop() ends what runs and keeps it; the study may go on later.
        """
        found = optimiser(
            base_task_id=f"{PRINTS}; sleep 60", continue_previous_study="stopped", total_max_jobs=2
        )
        assert found.start()
        assert found.start()  # does nothing
        deadline = time.monotonic() + 30
        while len([item for item in found.get_top_experiments(2) if item]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert found.get_num_active_experiments() == 2
        assert not found.wait(timeout_min=0.001)
        assert 0 < found.elapsed() < 1

        found.stop()

        assert not found.is_active()
        jobs = found.get_optimizer().get_created_jobs_tasks().values()
        assert {job.get_status() for job in jobs} == {"stopped"}
        assert {job.trial.reason for job in jobs} == {"interrupted by stop()"}
        again = optimiser(continue_previous_study="stopped", total_max_jobs=2)
        again.start_locally()
        assert again.wait(1)
        jobs = again.get_optimizer().get_created_jobs_tasks()
        assert [job.status for job in jobs.values()] == ["stopped"] * 2 + ["completed"] * 2

    def test_limits(self):
        """
        A limit can be set as minutes or as a time, before the start too, and taken away.
        """
        found = optimiser(optimization_time_limit=60)
        assert found.get_time_limit() - datetime.now(timezone.utc) > timedelta(minutes=59)

        found.set_time_limit(specific_time=datetime.now(timezone.utc) + timedelta(minutes=5))
        assert found.get_time_limit() - datetime.now(timezone.utc) < timedelta(minutes=5)
        assert not found.reached_time_limit()
        found.set_time_limit()
        assert found.get_time_limit() is None
        with pytest.raises(ValueError, match="at most one of in_minutes"):
            found.set_time_limit(1, datetime.now(timezone.utc))
        with pytest.raises(ValueError, match="in_minutes must be above 0, got 0"):
            found.set_time_limit(0)
        with pytest.raises(ValueError, match="report_period_minutes must be above 0, got -1"):
            found.set_report_period(-1)

    def test_a_limit_ends_trials_early(self):
        """
        The constructor's limit counts from the start, and what was measured counts.
        """
        command = f"{PRINTS}; sleep 60"
        found = optimiser(base_task_id=command, optimization_time_limit=2 / 60)
        time.sleep(0.5)
        calls = []

        found.start(lambda *arguments: calls.append(arguments))

        assert found.wait(1)
        assert found.reached_time_limit()
        assert {call[3]["status"] for call in calls} == {"stopped"}
        assert all(call[1] == call[3]["x"] for call in calls)
        assert len(found.get_top_experiments(9)) == 2
        assert found.get_top_experiments_details(9, only_completed=True) == []

    def test_several_objectives_are_told_as_lists(self):
        """
        With several objectives the callback gets a value and an iteration of each.
        """
        calls = []
        found = optimiser(
            DiscreteParameterRange("x", [1, 2]),
            base_task_id=PRINTS + "; echo '{{\"z\": '{x}', \"iteration\": 9}}'",
            objective_metric_title=["y", "z"],
            objective_metric_series=["y", "z"],
            objective_metric_sign=["min", "max_global"],
            optimizer_class=GridSearch,
            total_max_jobs=2,
        )

        found.start(lambda *arguments: calls.append(arguments))

        assert found.wait(1)
        assert sorted(call[1:3] for call in calls) == [([1.0, 1.0], [7, 9]), ([2.0, 2.0], [7, 9])]
        assert [objective.metric for objective in found.objective_metric] == ["y", "z"]

    def test_reports_are_written(self):
        """
        The report is there when the study has ended, and says what it found.
        """
        found = optimiser(airflow_hpo={"name": "reported"})
        found.start()
        assert found.wait(1)

        folder = Path(os.environ["HPO_ARTIFACTS"], found.study)
        best = json.loads((folder / "summary.json").read_text())["best"]
        (top,) = found.get_top_experiments(1)
        assert best["number"] == top.trial.number
        assert top.trial.state is TrialState.COMPLETE
        assert found.study.startswith("reported-")
        assert top.name.startswith(f"#{best['number']} x=")
        assert Path(top.get_output_log_web_page().removeprefix("file://"), "params.json").is_file()

    def test_a_script_that_ends_takes_its_trials_along(self):
        """
        Trials of a script that does not wait end with it.
        """
        text = f"""
            from airflow_hpo.clearml.automation import *
            optimizer = HyperParameterOptimizer(
                base_task_id='echo $$ > "$HPO_OUTPUT_DIR/pid"; sleep 300; ' + {PRINTS!r},
                hyper_parameters=[UniformParameterRange("x", 0, 1)],
                objective_metric_title="y", objective_metric_series="y", total_max_jobs=2,
            )
            optimizer.start()
            import time
            while optimizer.get_num_active_experiments() < 2:
                time.sleep(0.05)
            time.sleep(1)
        """
        began = time.monotonic()

        script(textwrap.dedent(text))

        pids = [int(path.read_text()) for path in Path(os.environ["HPO_ARTIFACTS"]).rglob("pid")]
        assert len(pids) == 2
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        assert time.monotonic() - began < 60


@pytest.mark.slow
def test_a_whole_script_on_real_training():
    """
    Training and optimising script run with their import lines changed, and find a good model.
    """
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    script(BASE, "train.py")

    printed = script(SCRIPT, "optimise.py")

    ended = re.findall(r"^ended (\S+) (\S+) (\d+) (.*)$", printed, re.MULTILINE)
    assert len(ended) == 4
    assert all(0.2 < float(value) <= 1 for _, value, _, _ in ended)
    assert {iteration for _, _, iteration, _ in ended} <= {"0", "1"}
    assert {names for *_, names in ended} == {
        "['General/layer_1', 'batch_size', 'epochs', 'status']"
    }
    values = {name: float(value) for name, value, _, _ in ended}
    top = re.search(r"^top \['([^']+)'", printed, re.MULTILINE).group(1)
    assert values[top] == max(values.values())


@pytest.mark.slow
@pytest.mark.skipif(not PAGE.is_file(), reason="ClearML's page with its script is not here")
def test_their_script_runs_with_other_import_lines():
    """
    ClearML's own example runs, nothing but its import lines changed, and trains.
    """
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    script(BASE, "train.py")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    theirs = "\n".join(
        textwrap.dedent("\n".join(line.rstrip() for line in block.splitlines())) for block in blocks
    )
    imports = """
        import logging
        from airflow_hpo.clearml import Task
        from airflow_hpo.clearml.automation import (
            DiscreteParameterRange,
            HyperParameterOptimizer,
            RandomSearch,
            UniformIntegerParameterRange,
        )
    """

    text = textwrap.dedent(imports) + theirs.replace("from clearml.", "from airflow_hpo.clearml.")
    printed = script(text, "optimise.py")

    ended = re.findall(r"^Job completed! (\S+) (\S+) (\S+) ", printed, re.MULTILINE)
    assert len(ended) == len({found[0] for found in ended}) == 10
    assert "WOOT WOOT we broke the record! Objective reached" in printed
    (top,) = re.findall(r"^\[(.*)\]$", printed, re.MULTILINE)
    ids = re.findall(r"'([^']+)'", top)
    assert len(ids) == 3
    values = {name: float(value) for name, value, _ in ended}
    assert values[ids[0]] == max(values.values())
    assert printed.endswith("We are done, good bye\n")
