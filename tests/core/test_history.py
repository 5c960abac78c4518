"""
Trials of others: mapped into a space, counted where they do not fit, told once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text, dump, parse_blueprints
from airflow_hpo.errors import StudyError, StudyNotFoundError
from airflow_hpo.history import Tally, fit_configuration, fit_past, fit_point
from airflow_hpo.history.files import read_entries, read_file
from airflow_hpo.history.fit import MisfitError
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Outcome, Trial, TrialState
from airflow_hpo.report import write_report
from airflow_hpo.storage import open_storage
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.study import Study
from airflow_hpo.testing.spaces import SPACES, make_history

TEXT = """
hpo: 1
name: digits
objective: {metric: loss, direction: minimize}
space:
  rate: {float: [0, 1]}
  units: {int: [1, 64]}
  kind: {choice: [relu, tanh]}
strategy: {name: tpe, seed: 3, startup_trials: 4}
budget: {trials: 9}
trial: {command: "python train.py {rate} {units} {kind}"}
"""


def blueprint_of(*lines, text=TEXT, **replaced):
    """
    Return the blueprint with more *lines*, and with words replaced.
    """
    for old, new in replaced.items():
        text = text.replace(old, new)
    (blueprint,) = parse_blueprints("\n".join([text, *lines]))
    return blueprint


def run(study, count=3):
    """
    Run so many trials of *study*; the loss is the rate.
    """
    trials = study.ask(count, key=f"ask {len(study.record().trials)}")
    for trial in trials:
        study.start(trial.number, key="only")
        value = float(trial.configuration.get("rate", 0.5))
        outcome = Outcome(TrialState.COMPLETE, values=(value,), metrics={"loss": value, "epoch": 3})
        study.tell(trial.number, outcome, attempt=1)
    return trials


def space_of(*constraints, **distributions):
    """
    Return a space of these parameters.
    """
    parameters = (
        item if isinstance(item, Parameter) else Parameter(name=name, distribution=item)
        for name, item in distributions.items()
    )
    return Space(parameters=tuple(parameters), constraints=constraints)


SPACE = space_of(
    "width * depth <= 100",
    rate=Float(low=0, high=1),
    width=Int(low=1, high=64),
    depth=Parameter(name="depth", distribution=Int(low=1, high=9), default=(2,)),
    kind=Categorical(choices=("plain", "deep")),
    momentum=Parameter(
        name="momentum", distribution=Float(low=0, high=1), when={"kind": ("deep",)}
    ),
    epochs=Constant(value=3),
)


class TestFit:
    """
    A configuration of another space, in this one.
    """

    def test_what_fits_is_kept_in_its_type(self):
        """
        Values are cast, constants and defaults added, what is inactive or foreign dropped.
        """
        tally = Tally()
        values = {"kind": "plain", "old": 1, "momentum": 0.5, "rate": 1, "width": 8.0}

        found = fit_configuration(SPACE, values, tally)

        expected = {"rate": 1.0, "width": 8, "depth": 2, "kind": "plain", "epochs": 3}
        assert json.dumps(found) == json.dumps(expected)
        assert tally.filled == {"depth": 1}
        assert tally.dropped == {"old is no parameter of this space": 1}

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"rate": 1.5}, "rate is outside its values"),
            ({"rate": "fast"}, "rate is outside its values"),
            ({"kind": "deep"}, "momentum has no value"),
            ({"epochs": 4}, "epochs is outside its values"),
            ({"width": 60}, "constraint 'width \\* depth <= 100' does not hold"),
        ],
    )
    def test_what_does_not_fit_says_why(self, changes, reason):
        """
        The reason is the same for all trials that are left out for it.
        """
        tally = Tally()
        values = {"rate": 0.5, "width": 8, "kind": "plain", "old": 1, **changes}

        with pytest.raises(MisfitError, match=f"^{reason}$"):
            fit_configuration(SPACE, values, tally)
        assert tally == Tally()

    @pytest.mark.parametrize("title", SPACES)
    def test_own_configurations_fit(self, title):
        """
        In the space that it was made for, a trial is what it was.
        """
        trials = make_history(SPACES[title], 30)
        tally = Tally()

        assert list(fit_past(trials, SPACES[title], tally)) == trials
        assert (tally.seen, tally.fit, tally.words()) == (30, 30, [])

    @given(st.sampled_from(sorted(SPACES)), st.sampled_from(sorted(SPACES)))
    def test_past_keeps_numbers_and_is_allowed(self, old, new):
        """
        Whatever the two spaces: no trial is lost, and what teaches is allowed.
        """
        trials = make_history(SPACES[old], 12)
        tally = Tally()

        past = fit_past(trials, SPACES[new], tally)

        assert [trial.number for trial in past] == [trial.number for trial in trials]
        for trial in past:
            problems = list(SPACES[new].problems(trial.configuration))
            assert trial.state is TrialState.FAILED or problems == []
        assert tally.fit + sum(tally.left_out.values()) == tally.seen == 12

    def test_points_lose_single_values(self):
        """
        A point without the value that is outside is still a wish.
        """
        tally = Tally()

        assert fit_point(SPACE, {"rate": 7, "width": 4, "old": 0}, tally) == {"width": 4}
        assert fit_point(SPACE, {"width": 60, "depth": 9}, tally) is None
        assert fit_point(SPACE, {"old": 1, "epochs": 3}, tally) is None
        assert tally.to_dict() == {
            "seen": 3,
            "fit": 1,
            "left_out": {
                "constraint 'width * depth <= 100' does not hold": 1,
                "none of its values is in the space": 1,
            },
            "dropped": {
                "rate is outside its values": 1,
                "old is no parameter of this space": 1,
            },
            "filled": {},
        }
        assert Tally.of(tally.to_dict()) == tally

    def test_tally_in_words(self):
        """
        One reason alone needs no count of its own.
        """
        tally = Tally(seen=4, fit=1)
        tally.left_out.update({"failed": 1})
        assert tally.words() == ["1 trial left out: failed"]

        tally.left_out.update({"no value of loss": 2})
        tally.filled.update({"depth": 1})
        assert tally.words() == [
            "3 trials left out: 2 (no value of loss), 1 (failed)",
            "depth was taken to be its default in 1 trial",
        ]
