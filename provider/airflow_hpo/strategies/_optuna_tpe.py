"""
Optuna's TPE for a batch of trials, each with a sampler of its own.

Imported where an engine is needed and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

from typing import Any

from optuna import Study  # noqa: TID253 - see above
from optuna.distributions import BaseDistribution  # noqa: TID253 - see above
from optuna.samplers import TPESampler  # noqa: TID253 - see above
from optuna.trial import FrozenTrial  # noqa: TID253 - see above

__all__ = ["BatchTpeSampler"]


class BatchTpeSampler(TPESampler):
    """
    TPE that is told which parameters the trials have in common.

    A sampler finds that out by comparing all trials that ended, and remembers
    it. We make a new one for each trial, whose seed is its own, while the
    trials that ended stay the same for a whole batch.

    Args:
        common: What is known of it. If nothing is, the first of the batch
            finds it and fills it in.

        options: TPE's own. Without ``multivariate`` nothing is modelled
            together, and with ``group`` there is no one answer to remember.
    """

    def __init__(self, common: dict[str, BaseDistribution], **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self._common = common
        self._shares = options.get("multivariate") and not options.get("group")

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """
        Return the parameters that are modelled together.
        """
        if not self._shares:
            return super().infer_relative_search_space(study, trial)
        if not self._common:
            self._common.update(super().infer_relative_search_space(study, trial))
        return self._common
