"""
Metrics: what lines of output become, and what a trial's measurements come to.
"""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.metrics import (
    FORMATS,
    PLANNED,
    create_collector,
    final_metrics,
    judge,
    validate_options,
)
from airflow_hpo.metrics.base import Collector
from airflow_hpo.model.blueprint import MetricsSpec
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.trial import Measurement, TrialState

ACCURACY = Objective(metric="val_accuracy", direction="maximize")


def collector(format_="json_lines", *, resource=None, **options):
    """
    Return a collector of lines.
    """
    return create_collector(MetricsSpec(format=format_, options=options), resource=resource)


def read(*lines, **options):
    """
    Return the metrics of every measurement in *lines*.
    """
    found = collector(**options)
    measured = found.feed(lines, 1.0) + found.finish(2.0)
    return [dict(measurement.metrics) for measurement in measured]


def measured(*series):
    """
    Return one measurement for each mapping.
    """
    return [Measurement(metrics, time=float(place)) for place, metrics in enumerate(series)]


class TestTable:
    """
    The formats by name.
    """

    def test_every_format_is_a_collector(self, tmp_path):
        """
        Each entry of the table keeps the protocol.
        """
        options = {"regex": {"pattern": "(?P<loss>x)"}, "file": {"path": "m.json"}}
        for name in FORMATS.entries:
            spec = MetricsSpec(format=name, options=options.get(name, {}))
            assert isinstance(create_collector(spec, workspace=str(tmp_path)), Collector)

    def test_planned_formats_are_not_in_the_table(self):
        """
        A format is either there or planned.
        """
        assert not PLANNED & set(FORMATS.entries)

    def test_an_unknown_format_is_refused_with_the_known_ones(self):
        """
        The message says which formats there are.
        """
        with pytest.raises(ValueError, match=r"json_lines, regex, file.*got 'jsonl'"):
            validate_options(MetricsSpec(format="jsonl"))

    @pytest.mark.parametrize("format_", ["json_lines", "regex", "file"])
    def test_an_unknown_option_is_refused(self, format_):
        """
        A misspelt option is no silent default.
        """
        with pytest.raises(ValueError, match="pathh"):
            validate_options(MetricsSpec(format=format_, options={"pathh": "x"}))


class TestJsonLines:
    """
    The default format.
    """

    def test_metrics_keep_their_types(self):
        """
        Numbers, text, truth values, lists and null come as they were printed.
        """
        line = '{"loss": 0.5, "epoch": 3, "note": "ok", "done": true, "cm": [[1, 2]], "x": null}'

        assert read(line) == [
            {"loss": 0.5, "epoch": 3, "note": "ok", "done": True, "cm": [[1, 2]], "x": None}
        ]

    @pytest.mark.parametrize("line", ["", "   ", "epoch 1", "[1, 2]", '"{"', "x {}", "{}", "12"])
    def test_ordinary_lines_pass(self, line):
        """
        What does not start with an object is no measurement, nor is an empty one.
        """
        found = collector()

        assert found.feed([line], 1.0) == []
        assert found.notes == ()

    def test_only_the_first_object_of_a_line_counts(self):
        """
        Text behind the first object is ignored, a second object too.
        """
        assert read('  {"a": 1} {"a": 2} trailing') == [{"a": 1}]

    def test_nested_objects_are_flattened_with_dots(self):
        """
        A nested value's name is the path to it; an object in a list stays.
        """
        line = '{"val": {"loss": {"mean": 1}, "acc": 2}, "top": 3, "list": [{"a": 1}]}'

        assert read(line) == [{"val.loss.mean": 1, "val.acc": 2, "top": 3, "list": [{"a": 1}]}]

    def test_the_last_of_two_equal_names_wins(self):
        """
        Whether they are the same key or the same path.
        """
        assert read('{"a": 1, "a": 2, "b": {"c": 3}, "b.c": 4}') == [{"a": 2, "b.c": 4}]

    def test_nan_and_infinities_are_read(self):
        """
        Python prints them bare; they are in the measurement.
        """
        (metrics,) = read('{"a": NaN, "b": -Infinity, "c": 1e999}')

        assert math.isnan(metrics["a"])
        assert metrics["b"] == -math.inf
        assert metrics["c"] == math.inf

    @pytest.mark.parametrize(
        "line",
        [
            '{"a": 1',
            "{'a': 1}",
            "{not json}",
            '{"a": ' + "[" * 100_000,
            '{"a": ' * 5_000,
            '{"a": ' + "9" * 5_000 + "}",
        ],
        ids=["cut", "python", "words", "deep list", "deep object", "huge number"],
    )
    def test_what_only_looks_like_json_is_noted(self, line):
        """
        Broken or hostile lines give nothing, raise nothing and leave a note.
        """
        found = collector()

        assert found.feed([line, '{"b": 1}'], 1.0)[-1].metrics["b"] == 1
        assert [note for note in found.notes if "a line began like a JSON object" in note]

    def test_a_line_nested_too_deep_is_noted(self):
        """
        Depth that a decoder still reads but nothing after it need stand.
        """
        found = collector()

        assert found.feed(['{"a": ' + "[" * 50 + "]" * 50 + "}"], 1.0) == []
        assert found.feed(['{"a": ' * 50 + "1" + "}" * 50], 1.0) == []
        assert found.notes == ("a line of metrics was nested more than 32 deep (2 times)",)

    def test_a_line_longer_than_a_mebibyte_is_noted(self):
        """
        One line cannot fill the journal.
        """
        found = collector()

        assert found.feed([json.dumps({"a": "x" * 2**20})], 1.0) == []
        assert found.notes == ("a line of metrics was longer than 1048576 characters",)

    def test_long_names_do_not_multiply(self):
        """
        A long name above many short ones is dropped, not repeated for each.
        """
        found = collector()
        line = json.dumps({"x" * 500: dict.fromkeys(map(str, range(1000)), 1), "loss": 1})

        assert [dict(one.metrics) for one in found.feed([line], 1.0)] == [{"loss": 1}]
        assert found.notes

    def test_text_that_no_file_can_hold_is_replaced(self):
        """
        Halves of surrogate pairs and NUL do not reach the journal.
        """
        assert read(r'{"a\ud800": "x\u0000y", "b": ["\udfff"]}') == [{"a?": "x\ufffdy", "b": ["?"]}]

    def test_the_resource_is_the_metric_of_its_name(self):
        """
        A measurement without it has none; numeric text counts, truth does not.
        """
        lines = ['{"step": 3, "a": 1}', '{"a": 1}', '{"step": "4"}', '{"step": true}']

        found = collector(resource="step").feed(lines, 1.0)

        assert [one.resource for one in found] == [3.0, None, 4.0, None]

    def test_told_epochs_code_prints_its_epoch(self):
        """
        The singular of the resource's name counts where the plural is absent.
        """
        lines = ['{"epoch": 2}', '{"epochs": 27, "epoch": 3}']

        assert [one.resource for one in collector(resource="epochs").feed(lines, 1.0)] == [2, 27]

    def test_the_option_names_another_resource(self):
        """
        The format's own option comes before the blueprint's name.
        """
        spec = MetricsSpec(options={"resource": "rows"})
        found = create_collector(spec, resource="epochs")

        assert found.feed(['{"rows": 10, "epochs": 2}'], 1.0)[0].resource == 10

    def test_the_time_is_the_readers(self):
        """
        Every measurement carries the time at which its line came.
        """
        assert [one.time for one in collector().feed(['{"a": 1}'], 12.5)] == [12.5]

    @given(
        st.lists(
            st.one_of(
                st.text(max_size=30),
                st.dictionaries(
                    st.text(max_size=5),
                    st.one_of(st.floats(), st.integers(), st.text(max_size=5), st.booleans()),
                    max_size=4,
                ).map(json.dumps),
            ),
            max_size=20,
        ),
        st.data(),
    )
    def test_pieces_do_not_matter(self, lines, data):
        """
        However the output is cut into pieces, the measurements are the same.
        """
        cut = data.draw(st.integers(0, len(lines)))
        pieces = collector()

        whole = collector().feed(lines, 1.0)

        assert repr(pieces.feed(lines[:cut], 1.0) + pieces.feed(lines[cut:], 1.0)) == repr(whole)

    @given(
        st.dictionaries(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
            st.one_of(
                st.floats(allow_nan=False),
                st.integers(-(2**200), 2**200),
                st.booleans(),
                st.none(),
                st.text(st.characters(codec="utf-8", exclude_characters="\0")),
                st.lists(st.integers(), max_size=3),
            ),
            min_size=1,
        )
    )
    def test_what_is_printed_is_measured(self, metrics):
        """
        Any flat mapping that Python prints as JSON comes back equal.
        """
        assert read(json.dumps(metrics)) == [metrics]


class TestRegex:
    """
    Metrics found by regular expressions.
    """

    def test_named_groups_are_metrics(self):
        """
        All groups of a line make one measurement, as numbers where they are.
        """
        pattern = r"epoch (?P<epoch>\d+): loss=(?P<loss>\S+) \((?P<note>\w+)\)"
        found = collector("regex", pattern=pattern, resource="epoch")

        (one,) = found.feed(["start", "epoch 3: loss=1e-3 (good)"], 1.0)

        assert one.metrics == {"epoch": 3, "loss": 0.001, "note": "good"}
        assert one.resource == 3

    def test_a_mapping_names_metrics_that_no_group_can(self):
        """
        Expressions that match in one line are measured together.
        """
        spec = {"val/loss": r"vl=([\d.]+)", "acc %": r"acc=([\d.]+)%"}

        assert read("vl=0.5 acc=97%", "vl=.25", format_="regex", patterns=spec) == [
            {"val/loss": 0.5, "acc %": 97},
            {"val/loss": 0.25},
        ]

    def test_several_patterns(self):
        """
        A list of them, beside a single one.
        """
        spec = {"pattern": "a=(?P<a>.)", "patterns": ["b=(?P<b>.)", "c=(?P<c>.)"]}

        assert read("b=2 a=1", format_="regex", **spec) == [{"a": 1, "b": 2}]

    def test_nothing_found_is_nothing_measured(self):
        """
        A group that takes no part, or matches nothing, is no metric.
        """
        pattern = r"x(?P<a>\d)?(?P<b>\d*)"

        assert read("x", "y", format_="regex", pattern=pattern) == []

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "pattern or patterns must be given"),
            ({"pattern": "(?P<a>"}, r"must be a regular expression, got '\(\?P<a>'.*position"),
            ({"pattern": "loss=(.*)"}, r"must name its groups.*got 'loss="),
            ({"patterns": ["(?P<a>.)", "*"]}, r"got '\*': nothing to repeat"),
            ({"patterns": {"loss": "x"}}, "pattern of loss must have one group, got 0"),
            ({"patterns": {"loss": "(x)(y)"}}, "pattern of loss must have one group, got 2"),
            ({"pattern": "(?P<a>x{99999999999999999999})"}, "must be a regular expression"),
        ],
    )
    def test_wrong_patterns_are_refused_when_checked(self, options, message):
        """
        The message names the pattern and what is wrong with it.
        """
        with pytest.raises(ValueError, match=message):
            validate_options(MetricsSpec(format="regex", options=options))

    def test_long_lines_are_searched_in_their_beginning(self):
        """
        Time that grows with a line's length stays bounded; a note tells.
        """
        found = collector("regex", pattern=r"(?P<a>\d+)$")

        assert found.feed(["x" * 100_000 + "1"], 1.0) == []
        assert found.notes == ("a line was searched in its first 4096 characters only",)


class TestJudge:
    """
    From measurements to an outcome.
    """

    def test_a_value_for_each_objective(self):
        """
        A trial is complete with what each objective picks, numeric text too.
        """
        objectives = [ACCURACY, Objective(metric="loss", direction="minimize", value="min")]
        series = measured({"loss": 1, "val_accuracy": 0.5}, {"loss": "0.5"}, {"loss": 2})

        outcome = judge(objectives, series)

        assert outcome.state is TrialState.COMPLETE
        assert outcome.values == (0.5, 0.5)
        assert outcome.metrics == {"loss": 2, "val_accuracy": 0.5}

    def test_a_missing_metric_lists_what_was_seen(self):
        """
        The trial is infeasible, and the reason names the metrics there were.
        """
        outcome = judge([ACCURACY], measured({"loss": 1, "epoch": 1}))

        assert outcome.state is TrialState.INFEASIBLE
        assert outcome.reason == (
            "metric missing: val_accuracy was not among the metrics seen: loss, epoch"
        )
        assert outcome.metrics == {"loss": 1, "epoch": 1}

    def test_a_near_miss_gets_a_hint(self):
        """
        A misspelt metric is named.
        """
        reason = judge([ACCURACY], measured({"val_acuracy": 1})).reason

        assert reason.endswith("did you mean 'val_acuracy'?")

    def test_no_metric_at_all(self):
        """
        The reason says so, and adds what the collector passed over.
        """
        outcome = judge([ACCURACY], [], notes=["the metrics file m.csv was not written"])

        assert outcome.reason == (
            "metric missing: val_accuracy was not seen, and no other metric either; "
            "the metrics file m.csv was not written"
        )

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (math.nan, "nan"),
            (-math.inf, "-inf"),
            (True, "True"),
            ("high", "'high'"),
            (None, "None"),
            ([1, 2], r"\[1, 2\]"),
            (10**400, "1" + "0" * 39 + r"\.\.\."),
        ],
    )
    def test_what_is_no_finite_number_is_no_value(self, value, shown):
        """
        The reason shows what the metric was last.
        """
        outcome = judge([ACCURACY], measured({"val_accuracy": value}))

        assert outcome.state is TrialState.INFEASIBLE
        assert re.fullmatch(
            rf"val_accuracy was never a finite number \(last: {shown}\)", outcome.reason
        )

    def test_a_late_nan_does_not_hide_an_earlier_number(self):
        """
        NaN is no value: the last number before it counts.
        """
        series = measured({"val_accuracy": 0.9}, {"val_accuracy": math.nan})

        assert judge([ACCURACY], series).values == (0.9,)

    def test_every_missing_objective_is_told(self):
        """
        All reasons at once.
        """
        objectives = [ACCURACY, Objective(metric="loss", direction="minimize")]

        reason = judge(objectives, measured({"loss": math.nan})).reason

        assert "val_accuracy was not among" in reason
        assert "loss was never a finite number" in reason

    def test_many_metrics_are_not_all_listed(self):
        """
        A reason stays short, whatever was printed.
        """
        reason = judge([ACCURACY], measured({f"m{n}": n for n in range(9_000)})).reason

        assert len(reason) < 300

    def test_the_mean_of_huge_numbers_does_not_overflow(self):
        """
        Diverged losses have a mean as long as each is finite.
        """
        mean = Objective(metric="loss", direction="minimize", value="mean_last_3")

        assert judge([mean], measured(*[{"loss": 1.5e308}] * 3)).values == (pytest.approx(1.5e308),)

    def test_the_last_value_of_every_metric(self):
        """
        Final metrics are the last of each, in the order of first sight.
        """
        final = final_metrics(measured({"a": 1}, {"b": 2}, {"a": 3}, {"c": None}))

        assert list(final.items()) == [("a", 3), ("b", 2), ("c", None)]
