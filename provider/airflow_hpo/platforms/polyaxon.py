"""
Polyaxon: the parameters of an experiment in one variable, a folder for its outputs.

Code that reads ``POLYAXON_PARAMS`` runs as it is. What the package of
Polyaxon's client tracks goes nowhere: print metrics as well.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from pydantic import Field

from airflow_hpo.platforms.base import PlatformOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.model.values import Value
    from airflow_hpo.platforms.base import Scene

__all__ = ["PolyaxonOptions", "PolyaxonPlatform"]


class PolyaxonOptions(PlatformOptions):
    """
    What a file of Polyaxon's says about parameters beside the space.

    Args:
        parameters: Values of parameters that the space does not have, such as
            those that are put together by the command.
    """

    parameters: dict[str, str] = Field(default_factory=dict)


class PolyaxonPlatform:
    """
    Sets the variables that Polyaxon sets, with the trial's own folder for outputs.
    """

    options_class = PolyaxonOptions

    def __init__(self, options: PolyaxonOptions) -> None:
        self._options = options

    def prepare(self, scene: Scene) -> Mapping[str, str]:
        """
        Return the variables; the older name of the first one is among them.
        """
        outputs = scene.workspace / "checkpoint"
        outputs.mkdir(parents=True, exist_ok=True)
        if scene.parent is not None and scene.parent.is_dir() and not any(outputs.iterdir()):
            # A resumed experiment goes on in the outputs of the one before.
            shutil.copytree(scene.parent, outputs, dirs_exist_ok=True)
        values: dict[str, Value] = {**self._options.parameters, **scene.configuration}
        params = json.dumps(values, ensure_ascii=False)
        return {
            "POLYAXON_PARAMS": params,
            "POLYAXON_DECLARATIONS": params,
            "POLYAXON_RUN_OUTPUTS_PATH": str(outputs),
            # Its client then asks no server, which there is none of.
            "POLYAXON_NO_OP": "true",
        }
