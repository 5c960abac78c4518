"""
HyperOpt's algorithms, shown our history in memory.

Imported where an engine is needed and nowhere else, since it loads HyperOpt.
Each algorithm is called once per trial with one seed, as ``fmin`` does it:
asked for several at once, some of them answer with one, and with the same one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np  # noqa: TID253 - see above

from airflow_hpo.model.values import Configuration, Value
from airflow_hpo.strategies._lessons import lesson_of

if TYPE_CHECKING:
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.outcomes import Outcomes
    from airflow_hpo.model.trial import Trial
    from airflow_hpo.strategies._hyperopt_layout import Layout


@contextmanager
def _quiet() -> Iterator[None]:
    """
    Keep warnings of HyperOpt's own code to itself.

    It divides by zero and takes logarithms of it as a matter of course, and
    sets the shape of arrays, which newer numpy versions advise against.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


with _quiet():
    import hyperopt
    from hyperopt import anneal, hp, mix, pyll, rand, tpe
    from hyperopt.base import JOB_STATE_DONE, JOB_STATE_RUNNING

__all__ = ["Algorithm", "Replay", "annealing", "mixture", "parzen", "prior", "seeds_of_fmin"]

Algorithm: TypeAlias = Callable[..., Any]
"""A ``suggest`` function of HyperOpt."""

# HyperOpt compares with lists; all that is empty may be the same one.
_NOWHERE: list[int] = []

# Below this number fmin draws a seed for each call of its algorithm.
_SEEDS = 2**31 - 1


def seeds_of_fmin(seed: int, start: int, count: int) -> list[int]:
    """
    Return the seeds that ``fmin`` gives to its calls *start*, *start* + 1 ...

    Args:
        seed: With which ``fmin`` would be called, in
            ``rstate=numpy.random.default_rng(seed)``.

        start: Which call is the first wanted, from 0.

        count: How many are wanted.
    """
    drawn = np.random.default_rng(seed).integers(_SEEDS, size=start + count)
    return [int(number) for number in drawn[start:]]


prior: Algorithm = rand.suggest
"""Draws from the distributions, whatever the history."""


def parzen(
    *, gamma: float, candidates: int, prior_weight: float, linear_forgetting: int
) -> Algorithm:
    """
    Return TPE without a start-up; the options are HyperOpt's.
    """
    suggest = tpe.suggest
    if linear_forgetting != tpe.DEFAULT_LF:
        suggest = _forgetting_after(linear_forgetting)
    return partial(
        suggest,
        gamma=gamma,
        n_EI_candidates=candidates,
        prior_weight=prior_weight,
        n_startup_jobs=0,
        verbose=False,
    )


def _forgetting_after(count: int) -> Algorithm:
    """
    Return TPE that weighs so many latest trials fully.

    HyperOpt has this number in the defaults of the functions that its graph
    names, and no argument for it. So the graph is given the number: by a twin
    of ``tpe.suggest`` that finds another builder under the builder's name,
    which leaves HyperOpt itself as it is.
    """

    def build(*args: Any) -> Any:  # noqa: ANN401 - HyperOpt's graph
        observed, observed_loss, posterior = tpe.build_posterior_wrapper(*args)
        for node in pyll.dfs(pyll.as_apply(posterior)):
            if node.name in {"adaptive_parzen_normal", "linear_forgetting_weights"}:
                others = [item for item in node.named_args if item[0] != "LF"]
                node.named_args = [*others, ["LF", pyll.Literal(count)]]
        return observed, observed_loss, posterior

    names = {**vars(tpe), build.__name__: build, "build_posterior_wrapper": build}
    return FunctionType(tpe.suggest.__code__, names, "suggest", tpe.suggest.__defaults__)


def annealing(*, avg_best_idx: float, shrink_coef: float) -> Algorithm:
    """
    Return simulated annealing; the options are HyperOpt's.
    """
    return partial(anneal.suggest, avg_best_idx=avg_best_idx, shrink_coef=shrink_coef)


def mixture(parts: Sequence[tuple[float, Algorithm]]) -> Algorithm:
    """
    Return an algorithm that takes one of *parts* each time, by probability.
    """
    return partial(mix.suggest, p_suggest=list(parts))


class Replay:
    """
    A history that HyperOpt's algorithms are shown.

    A trial's number is HyperOpt's ``tid``. Complete trials are shown with
    their loss and pruned ones with their last; infeasible ones without, which
    counts as an infinite loss, as in HyperOpt what ends with ``STATUS_FAIL``.
    So do trials that wait, run or are paused, unless they are not shown at
    all. Failed trials never are, nor what belongs to another space.

    Args:
        layout: The space.

        objective: What is optimised.

        trials: The history.

        outcomes: Which trials are feasible; others count as infinite losses.

        shows_running: Whether trials without an outcome are shown.

    Attributes:
        finished: How many of the shown trials have an outcome.
    """

    def __init__(
        self,
        layout: Layout,
        objective: Objective,
        trials: Sequence[Trial],
        *,
        outcomes: Outcomes,
        shows_running: bool,
    ) -> None:
        self._outcomes = outcomes
        self._layout = layout
        self._objectives = (objective,)
        self._shows_running = shows_running
        self._always = {name for name in layout.roots if not layout.space.by_name[name].when}
        self._documents = [found for trial in trials if (found := self._document(trial))]
        self.finished = sum(item["state"] == JOB_STATE_DONE for item in self._documents)
        with _quiet():
            self._domain = hyperopt.Domain(None, _expression(layout), pass_expr_memo_ctrl=False)
        self._refresh()

    def propose(self, algorithm: Algorithm, *, number: int, seed: int) -> Configuration:
        """
        Return what *algorithm* proposes for trial *number*, allowed or not.
        """
        with _quiet():
            (found,) = algorithm([number], self._domain, self._trials, seed)
        drawn = found["misc"]["vals"]
        values: dict[str, Value] = dict(self._layout.fixed)
        for name, label in self._layout.labels.items():
            if drawn.get(label):
                values[name] = self._layout.expressions[name].read(drawn[label][0])
        return self._layout.space.arrange(values)

    def settle(self, trial: Trial) -> None:
        """
        Show *trial* too, which waits.
        """
        found = self._document(trial)
        if found is not None:
            self._documents.append(found)
            self._refresh()

    def _refresh(self) -> None:
        # Each document was made right; HyperOpt's checks take longer than all the rest.
        self._trials = hyperopt.trials_from_docs(self._documents, validate=False)

    def _document(self, trial: Trial) -> dict[str, Any] | None:
        lesson = lesson_of(trial, self._objectives, self._outcomes)
        if lesson is None or not self._always <= trial.configuration.keys():
            return None
        if lesson.kind == "pending" and not self._shows_running:
            return None
        lesson, values = lesson.strict, self._shown(trial)
        if values is None:
            return None
        number, pending = trial.number, lesson.kind == "pending"
        here = [number]
        return {
            "tid": number,
            "state": JOB_STATE_RUNNING if pending else JOB_STATE_DONE,
            "spec": None,
            "result": {"loss": lesson.losses[0]} if lesson.losses else {},
            "misc": {
                "tid": number,
                "idxs": {label: here if value else _NOWHERE for label, value in values.items()},
                "vals": values,
            },
            "exp_key": None,
        }

    def _shown(self, trial: Trial) -> dict[str, tuple[float, ...]] | None:
        """
        Return its values as HyperOpt has them; `None` if one has no place there.
        """
        configuration, expressions = trial.configuration, self._layout.expressions
        try:
            return {
                label: (expressions[name].show(configuration[name]),)
                if name in configuration
                else ()
                for name, label in self._layout.labels.items()
            }
        except (TypeError, ValueError):
            return None


def _expression(layout: Layout) -> dict[str, Any]:
    """
    Return the space in HyperOpt's own terms.

    A parameter below several options is one node in all of them: HyperOpt
    refuses a label that it meets on two.
    """
    nodes: dict[str, Any] = {}

    def node(name: str) -> Any:  # noqa: ANN401 - HyperOpt's graph
        if name not in nodes:
            expression, label = layout.expressions[name], layout.labels[name]
            options = [group(names) for names in layout.branches[name]]
            if expression.name == "choice":
                nodes[name] = hp.choice(label, options)
            elif expression.name == "pchoice":
                nodes[name] = hp.pchoice(label, list(zip(expression.args, options, strict=True)))
            else:
                nodes[name] = getattr(hp, expression.name)(label, *expression.args)
        return nodes[name]

    def group(names: Sequence[str]) -> dict[str, Any]:
        return {layout.labels[name]: node(name) for name in names}

    return group(layout.roots)
