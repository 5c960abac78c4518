"""
Our studies as Optuna's own tools see them.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import warnings

import optuna  # noqa: TID253 - what is tested is for Optuna's tools
import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.errors import StorageError, StudyError
from airflow_hpo.model.space import Space
from airflow_hpo.model.stop import Stop
from airflow_hpo.model.trial import Failure, Measurement, Outcome, Trial, TrialState
from airflow_hpo.storage import open_storage
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.storage.optuna_trials import distributions_of, optuna_trials
from airflow_hpo.storage.optuna_view import OptunaView, optuna_study
from airflow_hpo.study import Study

ONE = """
hpo: 1
name: one
description: what it is for
objective: {metric: acc, direction: maximize}
space:
  model: {choice: [tree, net]}
  lr: {float: [0.001, 1.0], log: true, when: {model: net}}
  depth: {int: [1, 8], when: {model: tree}}
  width: {float: [0.0, 1.0], step: 0.3}
  bell: {normal: [0, 1]}
  fixed: 5
outcome_constraints: ["ms <= 20"]
strategy: {name: random, seed: 3}
budget: {trials: 40}
trial: {command: "echo"}
"""
TWO = """
hpo: 1
name: two
objective:
  - {metric: loss, direction: minimize}
  - {metric: size, target: 100}
space: {x: {float: [0, 1]}, y: {int: [1, 9]}}
strategy: {name: random, seed: 3}
budget: {trials: 40}
trial: {command: "echo"}
"""
LADDER = """
hpo: 1
name: ladder
objective: {metric: loss, direction: minimize}
space: {x: {float: [0, 1]}}
resource: {name: epochs, min: 1, max: 9}
strategy: {name: halving, seed: 3}
budget: {trials: 13}
trial: {command: "echo {epochs}"}
"""


def tell(study, number, state, *values, metrics=None, **more):
    """
    Start a trial and tell its outcome.
    """
    attempt = study.start(number, key=f"t{number}").attempt
    names = [objective.metric for objective in study.blueprint.objectives]
    seen = dict(zip(names, values, strict=False)) | (metrics or {})
    outcome = Outcome(state, values=values or None, metrics=seen, **more)
    return study.tell(number, outcome, attempt=attempt)


def fill(study, count=12):
    """
    Ask for trials and end each in another way; most are complete.
    """
    for trial in study.ask(count, key="first"):
        width = trial.configuration["width"]
        if trial.number in {1, 2, 3, 4}:
            continue
        tell(study, trial.number, TrialState.COMPLETE, width, metrics={"ms": 10.0 + trial.number})
    tell(study, 1, TrialState.FAILED, failure=Failure.CODE, exit_code=3, reason="exit code 3")
    tell(study, 2, TrialState.INFEASIBLE, reason="diverged", metrics={"acc": math.nan})
    study.start(3, key="running")
    study.measure(
        3,
        [Measurement({"acc": 0.1 * step}, float(step), step) for step in (1, 2, 3)],
        attempt=1,
        first=0,
    )
    study.tell(4, Outcome(TrialState.PRUNED, reason="called off"), attempt=0)
    return study


@pytest.fixture(name="journal", scope="module", params=["memory", "sqlite"])
def _journal(request, tmp_path_factory):
    """
    A journal with three studies.
    """
    storage = MemoryStorage()
    if request.param == "sqlite":
        storage = open_storage(f"sqlite:///{tmp_path_factory.mktemp('view')}/studies.db")
    for text in (ONE, TWO, LADDER):
        (blueprint,) = parse_blueprints(text)
        study = Study.open(storage, blueprint.name, blueprint)
        if blueprint.name == "one":
            fill(study)
            storage.stop("one", Stop("user", "somebody said so"))
        elif blueprint.name == "two":
            for trial in study.ask(15, key="first"):
                x, y = trial.configuration["x"], trial.configuration["y"]
                tell(study, trial.number, TrialState.COMPLETE, x * y, 90.0 + y)
        else:
            climb(study)
    yield storage
    storage.close()


def climb(study):
    """
    Go up a ladder: the less of the resource, the better the values look.
    """
    for turn in range(3):
        for trial in study.ask(13, key=f"rung {turn}"):
            loss = trial.configuration["x"] + trial.resource
            tell(study, trial.number, TrialState.COMPLETE, loss)


@pytest.fixture(name="view")
def _view(journal):
    return OptunaView(journal)


def load(view, name):
    """
    Load a study as people do.
    """
    return optuna.load_study(study_name=name, storage=view)


class TestStates:
    """
    What becomes of trials.
    """

    def test_states_and_reasons(self, view):
        """
        Each state is the nearest of Optuna's, with ours and the reason beside it.
        """
        trials = load(view, "one").trials

        assert [trial.state.name for trial in trials[:6]] == [
            "COMPLETE",
            "FAIL",
            "FAIL",
            "RUNNING",
            "PRUNED",
            "COMPLETE",
        ]
        failed = trials[1].user_attrs
        assert (failed["state"], failed["failure"], failed["exit_code"]) == ("failed", "code", 3)
        assert (failed["reason"], failed["attempt"]) == ("exit code 3", 1)
        assert trials[2].user_attrs["state"] == "infeasible"
        assert trials[2].user_attrs["metric.acc"] == "nan"
        assert trials[3].intermediate_values == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3})
        assert trials[0].user_attrs["constant.fixed"] == 5

    def test_every_trial_is_one_that_optuna_would_keep(self, journal):
        """
        Optuna's own check finds nothing wrong with any trial.
        """
        for name in ("one", "two", "ladder"):
            study = Study.load(journal, name)
            for trial in optuna_trials(study.record(measurements=True), study.blueprint):
                trial._validate()

    def test_conditional_parameters_are_there_where_they_are_active(self, view):
        """
        A trial has the parameters that its configuration has, and their distributions.
        """
        for trial in load(view, "one").trials:
            child = {"net": "lr", "tree": "depth"}[trial.params["model"]]
            assert set(trial.params) == {"model", child, "width", "bell"}
            assert set(trial.distributions) == set(trial.params)
        width = trial.distributions["width"]
        assert (width.low, width.high, width.step) == (0.0, 0.9, 0.3)

    def test_the_best_is_the_same_as_ours(self, view, journal):
        """
        Constraints on outcomes and rungs of a ladder lead to the same best trial.
        """
        for name in ("one", "ladder"):
            study = Study.load(journal, name)

            assert load(view, name).best_trial.number == study.best().number

    def test_lower_rungs_are_pruned(self, view):
        """
        What ended on a lower rung is no rival of what got all of the resource.
        """
        trials = load(view, "ladder").trials

        assert {trial.state.name for trial in trials if trial.user_attrs["resource"] < 9} == {
            "PRUNED"
        }
        first = trials[0]
        assert first.intermediate_values == {1: first.params["x"] + 1}

    def test_several_objectives(self, view, journal):
        """
        Directions are ours, a target's distance is minimised, and so is the front.
        """
        study = load(view, "two")
        front = {trial.number for trial in study.best_trials}

        assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
        assert study.metric_names == ["loss", "|size - 100|"]
        assert study.trials[0].values[1] == 10 - study.trials[0].params["y"]
        from airflow_hpo.model.pareto import pareto_front

        ours = Study.load(journal, "two")
        expected = pareto_front(ours.blueprint.objectives, ours.record().trials)
        assert front == {trial.number for trial in expected}

    def test_the_study_itself(self, view):
        """
        A study has its description, strategy, seed and why it ended.
        """
        attributes = load(view, "one").user_attrs

        assert attributes["stop"] == "somebody said so"
        assert attributes["description"] == "what it is for"
        assert (attributes["strategy"], attributes["seed"]) == ("random", 3)

    def test_trials_that_were_lent_may_be_changed(self, view):
        """
        What somebody does to a trial changes nobody else's.
        """
        study = load(view, "one")
        mine = study.trials[0]
        mine.params["model"] = mine.user_attrs["state"] = mine.distributions["model"] = None
        mine.set_constraint("mine", 1.0)

        assert study.trials[0].params["model"] is not None
        assert study.trials[0].user_attrs["state"] == "complete"
        assert "mine" not in study.trials[0].constraints

    def test_ids_do_not_depend_on_other_studies(self):
        """
        A study's id stays what it was when an older study is deleted.
        """
        storage = MemoryStorage()
        (blueprint,) = parse_blueprints(TWO)
        for name in ("older", "newer"):
            Study.open(storage, name, blueprint)
        before = OptunaView(storage).get_study_id_from_name("newer")
        storage.delete("older")

        assert OptunaView(storage).get_study_id_from_name("newer") == before

    def test_new_trials_are_seen(self):
        """
        A view follows the journal.
        """
        storage = MemoryStorage()
        (blueprint,) = parse_blueprints(TWO)
        study = Study.open(storage, "two", blueprint)
        seen = load(OptunaView(storage, max_age_s=0), "two")
        study.ask(2, key="a")
        first = len(seen.trials)
        study.ask(3, key="b")

        assert (first, len(seen.trials)) == (2, 5)
        assert {trial.state.name for trial in seen.trials} == {"WAITING"}

    def test_a_record_alone(self, journal):
        """
        A study that was read is one of Optuna's, without the journal.
        """
        record = Study.load(journal, "one").record(measurements=True)
        study = pickle.loads(pickle.dumps(optuna_study(record)))

        assert len(study.trials) == len(record.trials)

    def test_one_that_cannot_be_read_is_left_out(self):
        """
        A study of a later version is no obstacle to the others, and is named when asked for.
        """
        storage = MemoryStorage()
        (blueprint,) = parse_blueprints(TWO)
        Study.open(storage, "fine", blueprint)
        storage.create("later", definition={"name": "later", "new": 1}, seed=1, plan={})
        view = OptunaView(storage)

        assert [study.study_name for study in view.get_all_studies()] == ["fine"]
        with pytest.raises(StudyError, match="'later' was made from cannot be read"):
            load(view, "later")
        with pytest.raises(KeyError, match="there is no study 'nowhere'"):
            load(view, "nowhere")


class TestSpaces:
    """
    What becomes of distributions.
    """

    @staticmethod
    def shown(distribution, *values):
        """
        Return the distribution and what *values* are shown as.
        """
        space = Space.model_validate({"parameters": [{"name": "p", "distribution": distribution}]})
        trials = [Trial(number, {"p": value}) for number, value in enumerate(values)]
        (found,) = distributions_of(space, trials).values()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shown = [found.show(value) for value in values]
        for value in shown:
            assert found.distribution._contains(found.distribution.to_internal_repr(value))
        return found.distribution, shown

    def test_bounds_grow_with_what_was_tried(self):
        """
        A trial from before the bounds were narrowed still has a place.
        """
        found, _ = self.shown({"kind": "float", "low": 0, "high": 1, "step": 0.5}, 0.5, 3.2)

        assert (found.low, found.high, found.step) == (0, 3.2, None)
        found, _ = self.shown({"kind": "int", "low": 1, "high": 4}, 7)
        assert (found.low, found.high) == (1, 7)
        found, _ = self.shown({"kind": "choice", "choices": ["a"]}, "b")
        assert found.choices == ("a", "b")

    def test_choices_that_optuna_takes_for_the_same(self):
        """
        1, 1.0 and True stay three choices; lists are choices too.
        """
        choices = [1, 1.0, True, [2]]
        found, shown = self.shown({"kind": "choice", "choices": choices}, *choices[2:])

        assert found.choices == ("1", "1.0", "true", "[2]")
        assert shown == ["true", "[2]"]

    @pytest.mark.parametrize(
        "distribution",
        [
            {"kind": "int", "low": 1, "high": 100, "step": 7, "log": True},
            {"kind": "float", "low": 0.1, "high": 1.0, "step": 0.25, "anchor": "zero", "log": True},
            {"kind": "lognormal", "mean": 0, "deviation": 1, "step": 0.5},
            {"kind": "normal", "mean": 5, "deviation": 2},
            {"kind": "float", "low": 1e-5, "high": 1e5, "step": 1e-9},
        ],
    )
    def test_whatever_we_can_draw_has_a_place(self, distribution):
        """
        Values over the whole unit interval lie in what Optuna is shown.
        """
        space = Space.model_validate({"parameters": [{"name": "p", "distribution": distribution}]})
        values = [space.by_name["p"].distribution.from_unit(place / 16) for place in range(17)]

        self.shown(distribution, *values)

    def test_parameters_of_an_earlier_space(self):
        """
        A parameter that was taken out is shown where trials have it.
        """
        trials = [Trial(0, {"gone": 3, "x": 0.5}), Trial(1, {"gone": 5, "x": 0.1})]
        space = Space.model_validate(
            {"parameters": [{"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}]}
        )

        found = distributions_of(space, trials)

        assert (found["gone"].distribution.low, found["gone"].distribution.high) == (3, 5)


class TestWriting:
    """
    Nothing can be changed through a view.
    """

    @pytest.mark.parametrize(
        ("write", "message"),
        [
            (lambda study: study.ask(), "cannot add a trial to study 'one'"),
            (lambda study: study.enqueue_trial({"x": 1}), "cannot add a trial to study 'one'"),
            (lambda study: study.set_user_attr("a", 1), "cannot set attribute 'a' of a study"),
            (lambda study: study.tell(3, 1.0), "cannot set the state of a trial to COMPLETE"),
            (
                lambda study: optuna.create_study(study_name="new", storage=study._storage),
                "cannot create study 'new'",
            ),
            (
                lambda study: optuna.delete_study(study_name="one", storage=study._storage),
                "cannot delete study 'one'",
            ),
        ],
    )
    def test_each_way_of_writing_is_refused(self, view, journal, write, message):
        """
        The message says what was refused, and the journal stays as it was.
        """
        before = journal.load("one", measurements=True)
        study = load(view, "one")

        with pytest.raises(StorageError, match=message):
            write(study)
        assert journal.load("one", measurements=True) == before

    def test_no_method_writes(self):
        """
        No abstract method of Optuna's is left, and none that writes is inherited from elsewhere.
        """
        writing = {
            name
            for name in dir(optuna.storages.BaseStorage)
            if name.startswith(("create_", "set_", "delete_"))
        }

        from airflow_hpo.storage.optuna_read_only import ReadOnlyStorage

        assert writing == {name for name in vars(ReadOnlyStorage) if not name.startswith("_")}


class TestTools:
    """
    Optuna's own tools on real studies.
    """

    def test_plots_of_one_objective(self, view):
        """
        Each of Optuna's plots is drawn of a study of ours.
        """
        pytest.importorskip("plotly")
        from optuna import visualization

        study = load(view, "one")
        plots = [
            visualization.plot_optimization_history(study),
            visualization.plot_parallel_coordinate(study),
            visualization.plot_slice(study),
            visualization.plot_contour(study, params=["width", "bell"]),
            visualization.plot_intermediate_values(study),
            visualization.plot_timeline(study),
            visualization.plot_edf(study),
            visualization.plot_rank(study, params=["width", "bell"]),
        ]

        assert all(plot.data for plot in plots)

    def test_plots_of_several_objectives(self, view):
        """
        The Pareto front and the hypervolume's history are drawn with our names.
        """
        pytest.importorskip("plotly")
        from optuna import visualization

        study = load(view, "two")
        front = visualization.plot_pareto_front(study)
        with warnings.catch_warnings():  # Optuna calls this one experimental
            warnings.simplefilter("ignore")
            history = visualization.plot_hypervolume_history(study, reference_point=[10.0, 20.0])

        assert front.layout.xaxis.title.text == "loss"
        assert history.data

    def test_importance(self, view):
        """
        Parameters' importance is found of our trials.
        """
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        importance = get_param_importances(
            load(view, "one"), evaluator=PedAnovaImportanceEvaluator(), params=["width", "bell"]
        )

        assert set(importance) == {"width", "bell"}

    def test_samplers_learn_from_it(self, view):
        """
        A copy in Optuna's memory goes on as a study of Optuna's.
        """
        ours = load(view, "two")
        copy = optuna.create_study(directions=ours.directions)
        copy.add_trials(ours.trials)

        assert set(copy.ask(ours.trials[0].distributions).params) == {"x", "y"}

    @staticmethod
    def call(app, method, path, body=b""):
        """
        Call a WSGI application; returns the status and the body.
        """
        answer = {}
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
        }
        text = b"".join(app(environ, lambda status, *_: answer.update(status=status)))
        return answer["status"], text

    def test_dashboard(self, view, journal):
        """
        The dashboard lists our studies, shows one with its trials, and changes nothing.
        """
        dashboard = pytest.importorskip("optuna_dashboard")
        app = dashboard.wsgi(view)
        status, text = self.call(app, "GET", "/api/studies")
        assert status.startswith("200")
        listed = {study["study_name"]: study for study in json.loads(text)["study_summaries"]}
        assert set(listed) == {"one", "two", "ladder"}

        study_id = listed["one"]["study_id"]
        status, text = self.call(app, "GET", f"/api/studies/{study_id}")
        detail = json.loads(text, parse_constant=pytest.fail)
        assert status.startswith("200")
        assert len(detail["trials"]) == 12
        assert detail["best_trials"][0]["number"] == Study.load(journal, "one").best().number

        status, _ = self.call(app, "DELETE", f"/api/studies/{study_id}")
        assert status.startswith("500")
        assert journal.load("one").trials
