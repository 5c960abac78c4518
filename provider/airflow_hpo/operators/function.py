"""
Trials whose code is a Python function, a TaskFlow task, or an operator.
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow.sdk import BaseOperator
from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

from airflow_hpo.driver import TooLongError, drain
from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.hooks.compat import AirflowTaskTimeout, TaskDeferred

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator

    from airflow_hpo.model.values import Value

__all__ = ["FunctionCall", "HpoTrialOperator", "InnerTask", "called", "hpo_trial"]


class FunctionCall:
    """
    Calls a trial's function within its task, or runs the operator that stands for it.

    Args:
        function: Gets the trial's parameters as arguments, and besides them
            whatever of Airflow's context it names. It returns its metrics, or
            an operator: that one is run in this task, with its templates
            rendered, and what it returns are the metrics.

        arguments: Those that are the same for all trials.

        inner: Runs the function elsewhere, such as in a virtual environment;
            `None` calls it here.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: Mapping[str, Any],
        inner: InnerTask | None = None,
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._inner = inner
        self._running: BaseOperator | None = None

    def run(self, values: Mapping[str, Value], context: Context) -> object:
        """
        Return what the function returns for the trial's *values*.
        """
        arguments = {**self._arguments, **values}
        try:
            if self._inner is not None:
                return self._operate(self._inner.build(self._function, arguments), context)
            returned = drain(called(self._function, arguments, context))
            return self._operate(returned, context) if _is_operator(returned) else returned
        except AirflowTaskTimeout as error:
            raise TooLongError(f"it took longer than it may: {error}") from None

    def cancel(self) -> None:
        """
        End the operator that runs, if one does.
        """
        if self._running is not None:
            self._running.on_kill()

    def _operate(self, operator: BaseOperator, context: Context) -> object:
        """
        Run *operator* as Airflow would in a task of its own, and return what it returns.
        """
        operator.render_template_fields(context)
        self._running = operator
        try:
            operator.pre_execute(context)
            returned = operator.execute(context)
            operator.post_execute(context, returned)
        except TaskDeferred as error:
            raise TrialInvalidError(
                f"an operator of a trial must wait in its task, got {type(operator).__name__}, "
                "which defers; give it deferrable=False"
            ) from error
        finally:
            self._running = None
        return _read(returned) if isinstance(returned, str) else returned


def _read(text: str) -> object:
    """
    Return the number or the metrics that an operator returns as text, such as a shell's.
    """
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_operator(returned: object) -> TypeGuard[BaseOperator]:
    return isinstance(returned, BaseOperator)


class InnerTask:
    """
    A TaskFlow task of another kind than Python's plain one, to be made for each trial.

    Args:
        operator_class: Its decorated operator.

        options: What the decorator was given.
    """

    def __init__(self, operator_class: type[DecoratedOperator], options: Mapping[str, Any]) -> None:
        self.operator_class = operator_class
        self.options = dict(options)

    def __repr__(self) -> str:
        """
        Return the operator's name: the same in every process.
        """
        return self.operator_class.__name__

    def build(
        self, function: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> DecoratedOperator:
        """
        Return the operator that calls *function* with *arguments*, outside of any DAG.
        """
        options = {**self.options, "task_id": "inner"}
        return self.operator_class(python_callable=function, op_kwargs=dict(arguments), **options)


def called(
    function: Callable[..., Any], arguments: Mapping[str, Any], context: Mapping[str, Any]
) -> object:
    """
    Return what *function* returns for *arguments* and what it names of *context*.

    A function with a single parameter called ``configuration`` gets all
    *arguments* as one mapping.

    Raises:
        TrialInvalidError: If it does not take them.
    """
    signature = inspect.signature(function)
    if list(signature.parameters) == ["configuration"]:
        return function(dict(arguments))
    wanted = {name: context[name] for name in signature.parameters if name in context}
    found = {**wanted, **arguments}
    try:
        signature.bind(**found)
    except TypeError as error:
        name = getattr(function, "__qualname__", repr(function))
        raise TrialInvalidError(f"{name} must take the trial's parameters: {error}") from None
    return function(**found)


class HpoTrialOperator(DecoratedOperator):
    """
    Call a trial's function as an ordinary task, without a study.

    **How it works.** It is what ``@task.hpo_trial`` makes where the function is
    called in a DAG rather than handed to `tune`: such as to train once more
    with the best parameters. What it measures on the way is logged; what it
    returns is returned.

    **What it does not do.** It tells no study anything.

    **Known limitation.** Only the return value of a generator is returned.

    Args:
        python_callable: The function.

        kwargs: See Airflow's decorated operators.
    """

    custom_operator_name: str = "@task.hpo_trial"
    ui_color = "#d6f5e3"

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - whatever the function returns
        """
        Return what the function returns.
        """
        bound = inspect.signature(self.python_callable).bind_partial(*self.op_args)
        return drain(called(self.python_callable, {**bound.arguments, **self.op_kwargs}, context))


def hpo_trial(
    python_callable: Callable[..., Any] | None = None,
    **kwargs: Any,  # noqa: ANN401 - BaseOperator's own
) -> TaskDecorator:
    """
    Make a task of a trial's function: for `tune`, or to be called like any other.

    Also known as ``@task.hpo_trial``.

    Args:
        python_callable: The function, where no options are given.

        kwargs: Options of the task, such as ``pool`` and ``retries``.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=HpoTrialOperator,
        **kwargs,
    )
