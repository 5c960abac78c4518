"""
The native dialect: what the files beside these tests cannot show.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_hpo.blueprint import (
    check,
    check_text,
    dump,
    load_blueprint,
    load_blueprints,
    parse_blueprints,
)
from airflow_hpo.blueprint.checks.space import name_hint, values_of
from airflow_hpo.blueprint.cron import PRESETS, schedule_problem
from airflow_hpo.blueprint.dialects import DIALECTS
from airflow_hpo.blueprint.dialects.base import Dialect
from airflow_hpo.blueprint.dialects.native import NativeDialect
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.blueprint.problems import Problems
from airflow_hpo.blueprint.units import seconds_of, share_of, show_duration, show_share
from airflow_hpo.errors import BlueprintError, DialectError
from airflow_hpo.model.blueprint import DagSpec, Execution, Retries, Step, TrialSpec
from airflow_hpo.model.distribution import Categorical, Float, Int, LogNormal, Normal
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.retuning import ChampionSpec, PreviousStart
from airflow_hpo.model.stop import Budget, ExpressionRule, MetricRule, PlateauRule

FOLDER = Path(__file__).parent.parent / "blueprints"
SMALLEST = FOLDER / "good" / "native" / "smallest.yaml"

EVERYTHING = """\
hpo: 1
name: digits-mlp
objective:
  - {metric: val_accuracy, target: 0.9, value: mean_last_3}
space:
  learning_rate: {float: [1e-5, 1e-1], log: true}
  optimizer: {choice: [sgd, adam]}
  momentum: {float: [0.5, 0.99], when: {optimizer: sgd}}
points: [{learning_rate: 1e-3}]
strategy: {name: random, seed: 7}
pruner: {name: median, startup_trials: 5, options: {warmup: 3}}
budget: {trials: 50, wall_clock: 2h, trial_time: 10h, failures: 20%}
execution: {mode: async, concurrency: 4}
resource: {name: epochs, min: 1, max: 27, rungs: [{at_least: 3}, {at_least: 9, gpus: 1}]}
trial:
  steps:
    - {name: prepare, command: python prepare.py}
    - name: train
      command: python train.py --lr {learning_rate} {momentum:--momentum} --epochs {epochs}
      gpus: 0.5
      pool: gpu
      pool_slots: 2
      queue: gpu
      executor: LocalExecutor
      priority_weight: 3
      runner: {name: subprocess, pass_environment: [A]}
  environment: {A: "1"}
  timeout: 30m
  grace: 5s
  retries: {infrastructure: 1, code: 2}
  on_failure: stop
dag:
  schedule: "@daily"
  start_date: 2026-01-31
  tags: [ml]
  warm_start: {from: previous, trials: 10}
  champion: "hpo://digits/champion"
  approve: true
stop:
  - {metric: val_accuracy, at_least: 0.985}
  - {plateau: 15, min_delta: 0.001}
  - "val_loss < 0.05 and execution.duration > 60"
"""


def test_every_key_reaches_the_model():
    """
    What the file says, the model holds, in its own units.
    """
    document = read_document(EVERYTHING)
    problems = Problems(document)

    (blueprint,) = NativeDialect().parse(document, problems)

    assert problems.errors == 0
    assert blueprint.objectives == (
        Objective(metric="val_accuracy", target=0.9, value="mean_last_3"),
    )
    assert [parameter.name for parameter in blueprint.space.parameters] == [
        "learning_rate",
        "optimizer",
        "momentum",
    ]
    assert blueprint.space.by_name["momentum"].when == {"optimizer": ("sgd",)}
    assert blueprint.points == ({"learning_rate": 1e-3},)
    assert blueprint.pruner.options == {"startup_trials": 5, "warmup": 3}
    assert blueprint.budget == Budget(
        trials=50, wall_clock_s=7200, trial_time_s=36000, failure_share=0.2
    )
    assert blueprint.execution == Execution(mode="async", concurrency=4)
    assert blueprint.stop == (
        MetricRule(metric="val_accuracy", at_least=0.985),
        PlateauRule(trials=15, min_delta=0.001),
        ExpressionRule(expression="val_loss < 0.05 and execution.duration > 60"),
    )
    assert blueprint.dag == DagSpec(
        schedule="@daily",
        start_date="2026-01-31",
        tags=("ml",),
        warm_start=PreviousStart(trials=10),
        champion=ChampionSpec(asset="hpo://digits/champion"),
        approve=True,
    )
    train = blueprint.trial.steps[1]
    assert train.runner.options == {"pass_environment": ["A"]}
    assert train.model_copy(update={"command": "", "runner": None}) == Step(
        name="train",
        gpus=0.5,
        pool="gpu",
        pool_slots=2,
        queue="gpu",
        executor="LocalExecutor",
        priority_weight=3,
    )
    assert blueprint.trial.model_copy(update={"steps": (Step(),)}) == TrialSpec(
        steps=(Step(),),
        environment={"A": "1"},
        timeout_s=1800,
        grace_s=5,
        retries=Retries(infrastructure=1, code=2),
        on_failure="stop",
    )


def test_what_is_wrong_is_not_also_too_early():
    """
    A value of the wrong shape is told to be wrong, not to be unsupported.
    """
    messages = [
        problem.message
        for problem in check_text(SMALLEST.read_text() + "pruner: 5\nexecution: {mode: 7}\n")
    ]

    assert messages[0] == "must be a mapping, got 5"
    assert all("yet" not in message for message in messages)


def test_short_forms():
    """
    A command beside nothing is a step of its own, a runner is named by itself.
    """
    text = SMALLEST.read_text().replace("command: ", "runner: subprocess\n  queue: q\n  command: ")

    (blueprint,) = parse_blueprints(text)

    assert len(blueprint.trial.steps) == 1
    assert blueprint.trial.steps[0].name == "trial"
    assert blueprint.trial.steps[0].queue == "q"
    assert blueprint.trial.runner.name == "subprocess"


def test_the_source_goes_with_the_blueprint(tmp_path):
    """
    File, text and hash are kept; the file's name is as it was given.
    """
    path = tmp_path / "it's a blueprint.yaml"
    path.write_bytes(SMALLEST.read_bytes())

    source = load_blueprint(path).source

    assert source.file == str(path)
    assert source.text == SMALLEST.read_text("utf-8")
    assert source.sha256 == load_blueprint(str(SMALLEST)).source.sha256
    assert len(source.sha256) == 64
    assert parse_blueprints(source.text)[0].source.file == "<blueprint>"


def test_loading_one_and_all(tmp_path):
    """
    One file of one blueprint may be loaded either way.
    """
    assert load_blueprints(SMALLEST) == (load_blueprint(SMALLEST),)
    with pytest.raises(FileNotFoundError):
        load_blueprint(tmp_path / "missing.yaml")
    with pytest.raises(IsADirectoryError):
        check(tmp_path)


def test_large_files_are_not_read_to_their_end(tmp_path):
    """
    A file that is too large is refused as such.
    """
    path = tmp_path / "large.yaml"
    path.write_bytes(b"# " + b"x" * 2**21)

    assert [problem.message for problem in check(path)] == [
        "the file must not be larger than 1 MiB"
    ]


def test_warnings_are_for_those_who_ask():
    """
    Parsing alone says nothing of warnings; a list gets them.
    """
    text = SMALLEST.read_text() + "execution: {batch_size: 50}\n"
    problems = []

    assert parse_blueprints(text) == parse_blueprints(text, problems=problems)
    assert [problem.path for problem in problems] == ["execution.batch_size"]
    assert check_text(text) == tuple(problems)


@pytest.mark.parametrize("text", ["name: digits", "- 1\n- 2", "hello", "kind: Pod"])
def test_files_of_no_dialect(text):
    """
    A file that nobody claims is refused, with what would mark it.
    """
    with pytest.raises(DialectError, match="hint: start the file with hpo: 1"):
        parse_blueprints(text)


def test_dialects_keep_the_protocol():
    """
    Every dialect of the table is one.
    """
    for name in DIALECTS.entries:
        dialect = DIALECTS.load(name)()

        assert isinstance(dialect, Dialect)
        assert dialect.name == name
        assert not dialect.claims(read_document("[1, 2]"))


def test_reading_loads_nothing_heavy():
    """
    A blueprint is read and checked without the engines or Airflow being imported.
    """
    program = (
        "import sys; from airflow_hpo.blueprint import check, load_blueprint\n"
        f"check({str(FOLDER / 'good' / 'native' / 'full.yaml')!r})\n"
        f"load_blueprint({str(SMALLEST)!r})\n"
        "heavy = {'airflow', 'numpy', 'scipy', 'optuna', 'hyperopt', 'sklearn', 'sqlalchemy',\n"
        "         'boto3', 'docker', 'kubernetes', 'jinja2', 'importlib.metadata'}\n"
        "print(*sorted(heavy & set(sys.modules)) , end='')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert set(done.stdout.split()) <= {"importlib.metadata"}  # pydantic's own


def test_errors_cross_process_borders():
    """
    The problems of an error survive pickling, as its message does.
    """
    import pickle

    with pytest.raises(BlueprintError) as caught:
        parse_blueprints("hpo: 1\nname: 5\n", file="a.yaml")
    again = pickle.loads(pickle.dumps(caught.value))

    assert again.problems == caught.value.problems
    assert str(again) == str(caught.value)


def test_dumped_text_is_for_people():
    """
    A dumped blueprint looks as one would write it, defaults left out.
    """
    assert dump(load_blueprint(SMALLEST)) == (
        "hpo: 1\n"
        "name: digits\n"
        "objective: {metric: loss, direction: minimize}\n"
        "space:\n"
        "  lr: {float: [1e-05, 0.1], log: true}\n"
        "  hidden: {int: [16, 128], step: 16}\n"
        "budget: {trials: 20}\n"
        "trial:\n"
        '  command: "python train.py --lr {lr} --hidden {hidden}"\n'
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d 2h 3m 4s", 93784),
        ("0.5s", 0.5),
    ],
)
def test_durations(text, seconds):
    """
    Durations add up their parts.
    """
    assert seconds_of(text) == seconds
    shown = show_duration(seconds)
    assert (seconds_of(shown) if isinstance(shown, str) else shown) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "90", "1x", "h", "m30", "30m1h", "-5m", "1e3s", "1h  2m", "٣s"]
)
def test_what_is_no_duration(text):
    """
    A unit belongs to each number, larger ones first.
    """
    with pytest.raises(ValueError, match="must be seconds or a duration"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "share"), [("20%", 0.2), ("12.5%", 0.125), ("100%", 1), ("0.1%", 0.001)]
)
def test_shares(text, share):
    """
    A percentage is exactly the number a person means.
    """
    assert share_of(text) == share
    assert show_share(share) == text


@pytest.mark.parametrize("text", ["20", "%", "-5%", "1e1%", "20 %", "20%%", ""])
def test_what_is_no_share(text):
    """
    A share is a number and a percent sign.
    """
    with pytest.raises(ValueError, match="must be a count or a share"):
        share_of(text)


@pytest.mark.parametrize(
    "text",
    [
        *PRESETS,
        "0 2 * * *",
        "*/15 0-6/2 1,15 * mon-fri",
        "0 0 1 jan,Jul *",
        "59 23 31 12 7",
        "0 0 L * *",
        "0 0 * * 5#3",
        "0 0 * * fri#1",
        "0 0 * * L5",
        "  0  0 * *   0 ",
        "0 0 * * * 30",
    ],
)
def test_schedules(text):
    """
    Presets and cron expressions of five fields, or six with seconds, are schedules.
    """
    assert schedule_problem(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@reboot", "must be a cron expression or a preset"),
        ("daily", "five fields"),
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * * *", "five fields"),
        ("60 * * * *", "a minute from 0 to 59, got '60'"),
        ("* 24 * * *", "an hour from 0 to 23, got '24'"),
        ("* * 0 * *", "a day of the month from 1 to 31, got '0'"),
        ("* * * 13 *", "a month from 1 to 12, got '13'"),
        ("* * * foo *", "got 'foo'"),
        ("* * * * 8", "a day of the week from 0 to 7, got '8'"),
        ("* * * * * 60", "a second from 0 to 59, got '60'"),
        ("*/0 * * * *", "got '*/0'"),
        ("1- * * * *", "got '1-'"),
        ("*-5 * * * *", "got '*-5'"),
        ("1,,2 * * * *", "got ''"),
        ("² * * * *", "got '²'"),
        ("9999999999999 * * * *", "got '9999999999999'"),
    ],
)
def test_what_is_no_schedule(text, message):
    """
    The first field that does not fit is named.
    """
    assert message in schedule_problem(text)[0]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a-b", "write spaces around the minus: a - b"),
        ("a-b-c", "write spaces around the minus: a - b-c"),
        ("a-b-a-b-a", "write spaces around the minus: a - b - a - b - a"),
        ("-".join("ab" * 2000) + "-x", None),
        ("b-c-a", "write spaces around the minus: b-c - a"),
        ("parameters.a", "write a"),
        ("hiden", "did you mean 'hidden'?"),
        ("a-x", None),
        ("zzz", None),
    ],
)
def test_hints_for_names(name, hint):
    """
    A name that is none is taken apart, or compared with those there are.
    """
    assert name_hint(name, {"a", "b", "c", "b-c", "hidden"}) == hint


@pytest.mark.parametrize(
    ("distribution", "text"),
    [
        (Float(low=0, high=1), "0.0 to 1.0"),
        (Float(low=0, high=1, step=0.5), "0.0 to 1.0 in steps of 0.5"),
        (Int(low=1, high=9), "1 to 9"),
        (Categorical(choices=("a", 1, True)), "'a', 1, true"),
        (Categorical(choices=tuple(range(11))), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..."),
        (Normal(mean=0, deviation=1), "a number"),
        (LogNormal(mean=0, deviation=1, step=2), "a number, 0 or above, in multiples of 2.0"),
    ],
)
def test_distributions_in_words(distribution, text):
    """
    Messages say which values there are.
    """
    assert values_of(distribution) == text


@pytest.mark.parametrize(
    ("date", "fine"),
    [
        ("2026-01-31", True),
        ("2026-01-31 06:00", True),
        ("2026-01-31T06:00:00Z", True),
        ("2026-01-31T06:00:00+02:00", True),
        ("2026-02-30", False),
        ("20260131", False),
        ("2026-01-31T06", False),
        ("31.1.2026", False),
        ("", False),
    ],
)
def test_start_dates(date, fine):
    """
    Dates are those that every supported Python reads.
    """
    problems = check_text(SMALLEST.read_text() + f"dag: {{start_date: '{date}'}}\n")

    assert (problems == ()) == fine


@pytest.mark.parametrize(
    ("study", "fine"),
    [
        ("digits", True),
        ("digits-{{ ds }}-{{ run_id }}", True),
        ("{% if params.x %}a{% endif %}{# note #}", True),
        ("{{ ds", False),
        ("ds }}", False),
        ("{{ {{ ds }} }}", False),
        ("{{ ds %}", False),
    ],
)
def test_study_templates(study, fine):
    """
    The braces of Airflow's templates pair; what is in them is Airflow's matter.
    """
    problems = check_text(SMALLEST.read_text() + f"study: '{study}'\n")

    assert (problems == ()) == fine


def test_one_bad_parameter_hides_no_other_problem():
    """
    What depends on a broken parameter is not told as wrong itself, all else is.
    """
    text = SMALLEST.read_text().replace("[1e-5, 1e-1]", "[1]") + (
        "constraints: ['lr < hidden', 'lr < x']\n"
        "points: [{lr: 5}, {hidden: 17}]\n"
        "stop: ['parameter.lr > 1']\n"
    )

    assert [problem.path for problem in check_text(text)] == [
        "space.lr.float",
        "constraints.1",
        "points.1.hidden",
    ]
