"""
What Polyaxon itself makes of files, where that is to be had: ours makes the same.

Each case in which it does not is named here, and in ``docs/polyaxon.md`` with
the reason.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from airflow_hpo.blueprint import check_text, load_blueprints, parse_blueprints
from airflow_hpo.blueprint.commands import parse_command
from airflow_hpo.model.ladder import Scale, hyperband
from airflow_hpo.strategies import strategy_for

THEIRS = Path(__file__).parents[3] / "shared" / "data" / "polyaxon"
DOCUMENTS = Path(__file__).parents[3] / "shared" / "requirements"

pytestmark = pytest.mark.skipif(
    not THEIRS.is_dir(), reason="Polyaxon's own answers are not in ../shared/data/polyaxon"
)


def vectors(name):
    """
    Return the recorded cases of one kind.
    """
    return json.loads((THEIRS / "vectors" / f"{name}.json").read_text())


def group(hptuning, **sections):
    """
    Return a file of version 1.
    """
    data = {"version": 1, "kind": "group", "hptuning": hptuning, "run": {"cmd": "x"}}
    return json.dumps({**data, **sections})


def operation(matrix, **keys):
    """
    Return a file of version 1.1.
    """
    own = {"command": "x", "metric": "loss", "direction": "minimize"}
    data = {"version": 1.1, "kind": "operation", "matrix": matrix, "airflow_hpo": own}
    return json.dumps({**data, **keys})


def is_valid(text):
    """
    Return whether a file has no errors.
    """
    return all(problem.severity == "warning" for problem in check_text(text, file="x.yaml"))


def blueprint(text):
    """
    Return the one blueprint of a file.
    """
    (found,) = parse_blueprints(text)
    return found


def close(left, right):
    """
    Return whether two values are the same but for binary noise.
    """
    if isinstance(left, float) and isinstance(right, (int, float)):
        return left == pytest.approx(right, rel=1e-12, abs=1e-15)
    if isinstance(left, dict):
        return list(left) == list(right) and all(close(left[name], right[name]) for name in left)
    return left == right


def suggestions(found, count):
    """
    Return the first configurations of a blueprint's strategy.
    """
    strategy = strategy_for(found)
    seed = found.strategy.seed or 0
    return [each.configuration for each in strategy.suggest(found.space, (), count, seed=seed)]


# What Polyaxon takes and ours refuses, or the other way round; reasons are in docs/polyaxon.md.
OPTIONS = [
    {"pvalues": [["a", 1], ["b", 0]]},
    {"pvalues": [["a", 1.0]]},
    {"range": [1, 10, -1]},
    {"range": [True, 5, 1]},
    {"linspace": [0, 1, -3]},
    {"uniform": [1, 0]},
]
HPTUNING = {
    *("concurrency negative", "random {}", "hb max_iter float", "hb eta 1", "bo kappa neg"),
    *("bo pvalues (as in docs!)", "bo normal", "bo quniform", "es no value"),
    "es higher (very old)",
}
MATRIX = {
    *("grid seed", "bayes pchoice (as in docs!)", "bayes normal", "bayes maxIterations 0"),
    *("bayes numInitialTrials (as in docs!)", "hyperband no eta", "tpe no numRuns"),
    *("mapping empty", "es metric no optimization", "es average (v0 only)"),
}
PARAMS = [
    ("choice", []),
    ("pchoice", [["a", 1.0]]),
    ("pchoice", [["a", 1], ["b", 0]]),
    ("range", [1, 2, 3, 4]),
    ("range", [1, 10, -1]),
]


def test_options_of_a_matrix():
    """
    Options are taken and refused as Polyaxon does, and list the same values.
    """
    y = {"uniform": [0, 1]}
    for case in vectors("v0_matrix_options")["cases"]:
        given = case["input"]
        if given == {"range": [1, 10, 2]} and not case["valid"]:
            continue  # a tuple of Python's, which no file can hold
        text = group({"random_search": {"n_experiments": 3}, "matrix": {"x": given, "y": y}})
        if given in OPTIONS:
            assert is_valid(text) is not case["valid"], given
            continue

        assert is_valid(text) is case["valid"], given
        if case["valid"] and "ok" in case["to_numpy"]:
            values = blueprint(text).space.by_name["x"].distribution.values()
            assert len(values) == len(case["to_numpy"]["ok"]), given
            assert all(map(close, values, case["to_numpy"]["ok"])), given
            assert sorted({type(value).__name__ for value in values}) == case["element_types"]


def test_options_of_newer_files():
    """
    The same of version 1.1; whole numbers of a range stay whole.
    """
    y = {"kind": "uniform", "value": [0, 1]}
    for case in vectors("v2_matrix_params")["cases"]:
        given = {"kind": case["kind"], "value": case["value"]}
        text = operation({"kind": "random", "numRuns": 3, "params": {"x": given, "y": y}})
        if (case["kind"], case["value"]) in PARAMS:
            assert is_valid(text) is not case["valid"], given
            continue

        assert is_valid(text) is case["valid"], given
        if case["valid"] and "ok" in case["to_numpy"]:
            values = blueprint(text).space.by_name["x"].distribution.values()
            assert len(values) == len(case["to_numpy"]["ok"]), given
            assert all(map(close, values, case["to_numpy"]["ok"])), given


@pytest.mark.parametrize(
    ("name", "make", "others"),
    [("v0_hptuning_validation", group, HPTUNING), ("v2_matrix_validation", operation, MATRIX)],
)
def test_algorithms(name, make, others):
    """
    Algorithms and their options are taken and refused as Polyaxon does.
    """
    for case in vectors(name)["cases"]:
        verdict = case["valid"] and "search_algorithm_error" not in case

        assert is_valid(make(case["input"])) is (verdict != (case["name"] in others)), case["name"]


def test_the_algorithm_is_the_same():
    """
    What Polyaxon takes for the algorithm is the strategy's.
    """
    names = {"grid": "grid", "random": "random", "hyperband": "hyperband", "bo": "gp"}
    for case in vectors("v0_hptuning_validation")["cases"]:
        text = group(case["input"])
        if "search_algorithm" in case and is_valid(text):
            assert blueprint(text).strategy.name == names[case["search_algorithm"]], case["name"]


def test_traps_of_yaml_are_none():
    """
    What YAML 1.1 reads as base 60 or as text means here what was written.
    """
    for case in vectors("v0_yaml_traps")["cases"]:
        option, written = case["option"], case["written_as"]
        text = (
            "version: 1\nkind: group\nrun: {cmd: x}\nhptuning:\n  random_search: {n_experiments: 3}"
            f"\n  matrix:\n    y: {{uniform: [0, 1]}}\n    x:\n      {option}: {written}\n"
        )
        if "null" in written:
            assert not is_valid(text)
        elif option == "values":
            value = {"[1e-4, 1.0e-4, 1E-4]": (1e-4,), "[1:30, 2:00]": ("1:30", "2:00")}.get(
                written, ("1_000", 10, 16)
            )
            assert blueprint(text).space.by_name["x"].distribution.choices == value
        else:
            numbers = [float(part) for part in written.strip("'[]").replace(",", ":").split(":")]
            quoted = group(
                {"random_search": {"n_experiments": 3}, "matrix": {"x": {option: numbers}}}
            )
            found, same = (
                blueprint(each).space.by_name["x"].distribution for each in (text, quoted)
            )
            assert found.size() == same.size()
            assert found.from_unit(0.3) == same.from_unit(0.3)


def test_grid_search():
    """
    The same combinations in the same order.
    """
    for case in vectors("v0_grid_search")["cases"]:
        tuning = {name: value for name, value in case["hptuning"].items() if name == "matrix"}
        wanted = case["hptuning"]["n_experiments"]
        grid = {} if wanted is None else {"grid_search": {"n_experiments": wanted}}
        text = group({**tuning, **grid})
        if not case.get("suggestions"):
            continue
        found = blueprint(text)
        different = list({json.dumps(each): each for each in case["suggestions"]}.values())

        assert found.budget.trials == len(different), case["name"]
        made = suggestions(found, found.budget.trials)
        assert all(map(close, made, different)), case["name"]


# Kinds whose draws Polyaxon rounds down, where its documentation says round.
ROUNDED_DOWN = {"quniform", "qloguniform", "qnormal", "qlognormal"}


def test_random_search():
    """
    With a seed, the same experiments one by one.
    """
    for case in vectors("v0_random_search")["cases"]:
        if not case.get("suggestions") or case.get("seed") in (None, 0):
            continue
        search = {"random_search": {"n_experiments": case["n_experiments"]}, "seed": case["seed"]}
        found = blueprint(group({**search, "matrix": case["matrix"]}))
        made = suggestions(found, found.budget.trials)

        assert len(made) >= len(case["suggestions"])
        for mine, theirs in zip(made, case["suggestions"], strict=False):
            for name, value in mine.items():
                (kind,) = case["matrix"][name]
                if kind not in ROUNDED_DOWN and not _is_mixed(case["matrix"][name]):
                    assert close(value, theirs[name]), (case["name"], name)


def _is_mixed(option):
    """
    Return whether NumPy makes text of values that are not all text.
    """
    values = option.get("values", [])
    return len({isinstance(value, str) for value in values}) > 1


def test_draws():
    """
    With a seed, the same draws of each option but for those that are rounded down.
    """
    compared = 0
    for case in vectors("v0_sampling")["cases"]:
        (kind,) = case["input"]
        draws = case["eight_single_draws"].get("ok")
        if kind in ROUNDED_DOWN or draws is None or _is_mixed(case["input"]):
            continue
        search = {"random_search": {"n_experiments": 8}, "seed": case["seed"]}
        text = group({**search, "matrix": {"x": case["input"]}})
        if not is_valid(text):
            continue
        found = blueprint(text)
        made = [each["x"] for each in suggestions(found, found.budget.trials)]
        first = list({json.dumps(draw): draw for draw in draws}.values())
        compared += 1

        # Drawn again is passed over: the draws that are new come in the same order.
        assert all(map(close, made, first)), case
    assert compared >= 20


def test_searches_that_never_end():
    """
    Where Polyaxon's random search hangs, ours runs what there is.
    """
    for case in vectors("random_search_hangs")["cases"]:
        rounded = "quniform" in case["v0"]
        for seed in (None, 3):
            search = {"random_search": {"n_experiments": case["asked"]}, "seed": seed}
            found = blueprint(group({**search, "matrix": {"x": case["v0"]}}))

            # Rounded to the nearest, the highest of three values can be drawn too.
            assert len(suggestions(found, 10)) == case["sensible_result"] + rounded


def test_templates():
    """
    Commands are those that Polyaxon runs, values quoted for the shell.
    """
    ours = {"numeric-looking string becomes a number in params"}
    for case in vectors("v0_templating")["cases"]:
        text = json.dumps(case["group"])
        if "error" in case:
            assert not is_valid(text), case["name"]
            continue
        found = blueprint(text)
        values = {**case["matrix_declaration"]}
        values |= {
            name: parameter.distribution.value
            for name, parameter in found.space.by_name.items()
            if parameter.is_constant
        }
        (step,) = found.trial.steps
        line = parse_command(step).render(values)
        ((_, _), (theirs,)) = case["container_cmd"]
        if "wins" in case["name"] or "same name" in case["name"]:
            theirs = theirs.replace("0.9", "0.1").replace("0.001", "0.1")  # ours: the search wins
        if case["name"] in {"string value with space", "list value", "dict value"}:
            assert shlex.split(line)[1].partition("=")[2] == str(next(iter(values.values())))
        else:
            assert line.strip() == theirs, case["name"]
        if case["name"] not in ours and "wins" not in case["name"]:
            assert {name: value for name, value in values.items() if name in case["params"]}


def test_hyperband():
    """
    The table of brackets is Polyaxon's, less its faults: exact integers, no rung beyond.
    """
    for case in vectors("v0_hyperband_arithmetic")["cases"]:
        if "error" in case or case["eta"] < 2:
            continue
        text = group(
            {
                "matrix": {"x": {"uniform": [0, 1]}},
                "hyperband": {
                    "max_iter": case["max_iter"],
                    "eta": case["eta"],
                    "resource": {"name": "steps", "type": "int"},
                    "metric": {"name": "loss", "optimization": "minimize"},
                },
            }
        )
        found = blueprint(text)
        brackets = hyperband(Scale(1, case["max_iter"], case["eta"], resume=False))

        assert found.resource.max == case["max_iter"]
        assert found.budget.trials == sum(
            rung.trials for bracket in brackets for rung in bracket.rungs
        )
        if len(brackets) != len(case["brackets"]):
            # The logarithm of a power falls short of it: one bracket is lost.
            assert len(brackets) == len(case["brackets"]) + 1
            continue
        for mine, theirs in zip(brackets, case["brackets"], strict=True):
            assert mine.rungs[0].trials == theirs["n_configs"]
            for rung, kept in zip(mine.rungs[:-1], theirs["rungs"], strict=False):
                assert rung.promote == max(1, kept["n_configs_to_keep"])
                assert rung.resource == max(1, int(kept["resource"] + 0.5))


def test_early_stopping():
    """
    Thresholds are reached where Polyaxon's are; the share of failures is a number of them.
    """
    recorded = vectors("early_stopping")
    for case in recorded["metric_cases"]:
        rules = case["early_stopping"]
        if any(rule["optimization"] is None for rule in rules):
            continue  # taken for minimize by the newer of two, for maximize elsewhere
        found = blueprint(group({"matrix": {"x": {"values": [1]}}, "early_stopping": rules}))
        reached = any(
            rule.reason(metrics[rule.metric]) is not None
            for rule in found.stop
            for metrics in case["runs_metrics"]
            if metrics.get(rule.metric) is not None
        )

        assert reached is case["v0_should_stop"], case["name"]
    for case in recorded["failure_cases"]:
        rules = [{"kind": "failure_early_stopping", "percent": each} for each in case["percents"]]
        params = {"x": {"kind": "choice", "value": list(range(len(case["statuses"])))}}
        found = blueprint(operation({"kind": "grid", "params": params, "earlyStopping": rules}))
        failed = sum("failed" in status for status in case["statuses"])

        assert (failed >= found.budget.failures) is case["stop"], case["name"]


def test_iterations():
    """
    Bayesian optimization has its first runs, and as many iterations after them.
    """
    for case in vectors("v2_should_reschedule")["cases"]:
        if case["kind"] != "bayes":
            continue
        space = {"x": {"kind": "uniform", "value": [0, 1]}}
        matrix = {"kind": "bayes", "numInitialRuns": 3, "maxIterations": case["maxIterations"]}
        metric = {"name": "loss", "optimization": "minimize"}
        found = blueprint(operation({**matrix, "metric": metric, "params": space}))

        assert found.budget.trials == 3 + sum(case["should_reschedule"])


def test_examples_of_others():
    """
    Real files are read with Polyaxon's numbers; references need a command of ours.
    """
    for case in vectors("v0_examples_verdicts")["cases"]:
        text = (THEIRS / "examples" / case["file"]).read_text()

        assert is_valid(text) is case["valid"], case["file"]
        if case["valid"]:
            found = blueprint(text)
            assert list(case["matrix"]) == list(found.space.by_name)[: len(case["matrix"])]
            if case["search_algorithm"] in {"grid", "random"}:
                assert found.budget.trials >= case["first_suggestion_count"]
    for case in vectors("v2_examples_verdicts")["cases"]:
        text = (THEIRS / "examples" / case["file"]).read_text()
        if "kind: dag" in text:
            continue
        own = "airflow_hpo: {command: 'x', metric: loss, direction: minimize}\n"
        (problem,) = (each for each in check_text(text) if each.severity == "error")

        assert "a component elsewhere is not fetched" in problem.message
        assert is_valid(f"{text}\n{own}"), case["file"]


def test_every_example_of_the_documentation():
    """
    Each search of the documentation is read; what Polyaxon refuses of it is warned of.
    """
    for case in vectors("v0_seed_document_verdicts")["cases"]:
        text = case["yaml"]
        if "hptuning:" not in text:
            continue
        if text.startswith("..."):
            text = "version: 1\nkind: group\nrun: {cmd: train}\n" + text.removeprefix("...")
        problems = check_text(text)

        assert is_valid(text), problems
        found = blueprint(text)
        if not case["valid"]:
            assert any("refused by Polyaxon" in problem.message for problem in problems)
        elif case["search_algorithm"] in {"grid", "random"}:
            assert found.budget.trials == case["first_suggestion_count"]
            assert found.strategy.name == case["search_algorithm"]


def test_the_documentation_itself():
    """
    The blocks of the published page are those that were recorded.
    """
    pages = [path.read_text() for path in sorted(DOCUMENTS.glob("*.txt"))]
    page = next(page for page in pages if "Hyperparams Optimization in Polyaxon" in page)
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]

    assert len(blocks) == 10
    for block in blocks:
        text = block.removeprefix("...")
        data = yaml.safe_load(text)
        if "hptuning" in data:
            whole = {"version": 1, "kind": "group", "run": {"cmd": "train"}, **data}
            assert is_valid(json.dumps(whole))


def test_files_have_their_place(tmp_path):
    """
    A file of theirs that lies somewhere is called after it.
    """
    source = THEIRS / "examples" / "v0_quickstart_polyaxonfile_hyperparams_grid.yml"
    path = tmp_path / "my grid.yml"
    path.write_text(source.read_text())

    (found,) = load_blueprints(path)

    assert found.name == "my-grid"
    assert found.budget.trials == 20
