"""
Auto: which strategy a study gets where nobody says, and from which trial on.

The choice is made from the blueprint alone, by the first of the rules that
fits, and noted with the study when it begins: what is edited later, or decided
otherwise by a later version, does not change it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, ValidationError, model_validator

from airflow_hpo.errors import Problem
from airflow_hpo.model.explain import flaws
from airflow_hpo.model.trial import Suggestion, Trial
from airflow_hpo.strategies import STRATEGIES, setting_of
from airflow_hpo.strategies._auto_rules import Phase, choose, passed_over
from airflow_hpo.strategies._draws import next_number
from airflow_hpo.strategies._lattice import count_configurations
from airflow_hpo.strategies.base import Options, Setting, Support

if TYPE_CHECKING:
    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.space import Space
    from airflow_hpo.model.values import Value
    from airflow_hpo.strategies.base import Strategy

__all__ = [
    "AutoOptions",
    "AutoStrategy",
    "Phase",
    "choice_of",
    "explain",
    "phases_of",
    "with_choice",
]


class AutoOptions(Options):
    """
    Options of the automatic choice.

    Args:
        phases:
            What proposes from which trial on, such as ``[{strategy: qmc},
            {strategy: gp, start: 10}]``; `None` to choose by the rules.
    """

    phases: tuple[Phase, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _ordered(self) -> AutoOptions:
        starts = [phase.start for phase in self.phases or ()]
        if starts and (starts[0] != 0 or starts != sorted(set(starts))):
            raise ValueError(f"phases must start at 0 and each after the one before, got {starts}")
        for phase in self.phases or ():
            _check_phase(phase)
        return self


def _check_phase(phase: Phase) -> None:
    """
    Refuse a strategy that is not there or has rungs, and options that it does not have.
    """
    try:
        strategy_class = STRATEGIES.load(phase.strategy)
        has_rungs = strategy_class is AutoStrategy or strategy_class.support.multi_fidelity
        options_class: type[Options] = strategy_class.options_class
    except (ImportError, AttributeError) as error:
        raise ValueError(f"strategy {phase.strategy} cannot be loaded: {error}") from error
    if has_rungs:
        raise ValueError(f"a phase must be a strategy without rungs, got {phase.strategy!r}")
    try:
        options_class.model_validate(phase.options)
    except ValidationError as error:
        found = flaws(error, options_class)
        told = (f"{'.'.join(map(str, flaw.path))}: {flaw.message}" for flaw in found)
        raise ValueError(f"options of phase {phase.strategy}: {'; '.join(told)}") from error


class AutoStrategy:
    """
    Chooses a strategy by the space, the budget, the batch and the objectives.

    The first trials look around, and then the strategy of the first rule that
    fits takes over. `hpo plan` shows the choice. A study keeps the one that it
    began with.

    Which strategy proposes a trial depends on its number alone, so the same
    history and seed give the same suggestions, whoever asks.
    """

    options_class: ClassVar[type[Options]] = AutoOptions
    support: ClassVar[Support] = Support(
        multi_objective=True,
        outcome_constraints=True,
        history=True,
        startup=True,
        note="what it chooses is able to do what the blueprint asks for",
    )

    def __init__(self, options: AutoOptions, setting: Setting) -> None:
        """
        Keep *options* and *setting*.
        """
        self.options = options
        self.setting = setting

    def phases(self, space: Space) -> tuple[Phase, ...]:
        """
        Return who proposes, from which trial on.
        """
        return self.options.phases or choose(space, self.setting).phases

    def problems(self, space: Space) -> list[Problem]:
        """
        Return why a phase that was asked for cannot search *space*.
        """
        from airflow_hpo.strategies.support import unsupported

        found: list[Problem] = []
        for phase in self.phases(space):
            reasons = unsupported(
                phase.strategy, space=space, objectives=self.setting.objectives, mode="batch"
            )
            able = STRATEGIES.load(phase.strategy).support.outcome_constraints
            if self.setting.outcome_constraints and not able:
                reasons.append(f"strategy {phase.strategy} cannot keep constraints on outcomes")
            found += [Problem("strategy.options.phases", reason) for reason in reasons]
            more = getattr(self._strategy(phase), "problems", None)
            found += more(space) if more is not None and not reasons else ()
        return found

    def limit(self, space: Space) -> int | None:
        """
        Return how many configurations there are, where that may matter.
        """
        if self.options.phases is not None:
            limits = [self._strategy(phase).limit(space) for phase in self.options.phases]
            return limits[0] if len(limits) == 1 else None
        return count_configurations(space, enough=self.setting.trials)

    def suggest(
        self, space: Space, trials: Sequence[Trial], count: int, *, seed: int
    ) -> Sequence[Suggestion]:
        """
        Return up to *count* configurations to try next.

        Raises:
            SpaceExhaustedError: If no configuration satisfies the constraints.
        """
        phases = self.phases(space)
        history, found = list(trials), list[Suggestion]()
        first = next_number(trials)
        while len(found) < count:
            number = first + len(found)
            phase, end = _phase_at(phases, number)
            wanted = count - len(found) if end is None else min(count - len(found), end - number)
            more = self._strategy(phase).suggest(space, history, wanted, seed=seed)
            found += more
            if len(more) < wanted:
                break
            history += [_waiting(number + place, item) for place, item in enumerate(more)]
        return found

    def _strategy(self, phase: Phase) -> Strategy:
        strategy_class = STRATEGIES.load(phase.strategy)
        options = strategy_class.options_class.model_validate(phase.options)
        # The trials of earlier phases are the start-up.
        setting = replace(self.setting, startup_trials=phase.start)
        strategy: Strategy = strategy_class(options, setting)
        return strategy


def _phase_at(phases: Sequence[Phase], number: int) -> tuple[Phase, int | None]:
    """
    Return the phase of trial *number*, and where the next one starts.
    """
    place = max(index for index, phase in enumerate(phases) if phase.start <= number)
    end = phases[place + 1].start if place + 1 < len(phases) else None
    return phases[place], end


def _waiting(number: int, suggestion: Suggestion) -> Trial:
    return Trial(
        number, suggestion.configuration, sampler=suggestion.sampler, labels=suggestion.labels
    )


def _auto_of(blueprint: Blueprint) -> AutoStrategy | None:
    spec = blueprint.strategy
    if STRATEGIES.load(spec.name) is not AutoStrategy:
        return None
    return AutoStrategy(AutoOptions.model_validate(spec.options), setting_of(blueprint))


def phases_of(blueprint: Blueprint) -> tuple[Phase, ...]:
    """
    Return who proposes, from which trial on, whatever the strategy is.
    """
    auto = _auto_of(blueprint)
    if auto is not None:
        return auto.phases(blueprint.space)
    spec = blueprint.strategy
    has_startup = STRATEGIES.load(spec.name).support.startup
    startup = setting_of(blueprint).startup_trials if has_startup else 0
    first = (Phase(strategy="random"),) if startup else ()
    return (*first, Phase(strategy=spec.name, start=startup, options=spec.options))


def explain(blueprint: Blueprint) -> str | None:
    """
    Return what the strategy chose, and why, in words; `None` if it does not choose.
    """
    auto = _auto_of(blueprint)
    if auto is None or auto.options.phases is not None:
        return None
    choice = choose(blueprint.space, auto.setting)
    parts = []
    for phase in choice.phases:
        end = _phase_at(choice.phases, phase.start)[1]
        if end is not None and end < auto.setting.trials:
            parts.append(f"{phase.strategy} for trials {phase.start} to {end - 1}")
        elif phase.start < auto.setting.trials:
            parts.append(f"{phase.strategy} from trial {phase.start} on")
    text = f"strategy auto: {', '.join(parts)}: {choice.rule.when}, and {choice.rule.why}"
    missing = passed_over(blueprint.space, auto.setting)
    return text if missing is None else f"{text}; {missing}"


def choice_of(blueprint: Blueprint) -> Mapping[str, Value] | None:
    """
    Return what is to be noted with a study when it begins; `None` for nothing.
    """
    auto = _auto_of(blueprint)
    if auto is None or auto.options.phases is not None:
        return None
    choice = choose(blueprint.space, auto.setting)
    return {
        "phases": [phase.model_dump(mode="json") for phase in choice.phases],
        "rule": choice.rule.when,
    }


def with_choice(blueprint: Blueprint, noted: Mapping[str, Value] | None) -> Blueprint:
    """
    Return *blueprint* with the choice that its study began with.

    A blueprint that names its strategy or the phases keeps what it says.
    """
    if noted is None or choice_of(blueprint) is None:
        return blueprint
    options = {**blueprint.strategy.options, "phases": noted["phases"]}
    strategy = blueprint.strategy.model_copy(update={"options": options})
    return blueprint.model_copy(update={"strategy": strategy})
