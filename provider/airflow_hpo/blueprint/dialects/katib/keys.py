"""
The keys of an Experiment, and of our own section in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.own import OWN, Elsewhere, own_section
from airflow_hpo.blueprint.problems import show
from airflow_hpo.blueprint.records import Key, ListOf, MapOf, Record
from airflow_hpo.blueprint.scalars import plain_value
from airflow_hpo.blueprint.shapes import (
    BROKEN,
    Anything,
    Either,
    Flag,
    Nullable,
    Number,
    OneOf,
    Shape,
    Text,
    Whole,
)

if TYPE_CHECKING:
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.values import Value

__all__ = ["FILE", "REQUIRED", "TEMPLATE", "WITHOUT_EFFECT", "Numeral", "Word"]


class Word(Shape):
    """
    Text; Katib refuses numbers and truth values where it wants text.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the text; of another scalar, the one that was written.
        """
        if isinstance(value, str):
            return value
        if value is None or isinstance(value, (list, dict)):
            problems.error(path, f"must be text, got {show(value)}")
            return BROKEN
        text = show(value)
        problems.warn(path, f"should be text for Katib, got {text}", hint=f'write "{text}"')
        return text

    def schema(self) -> dict[str, Any]:
        """
        Return the JSON Schema of the value.
        """
        return {"type": ["string", "number", "boolean"]}


class Numeral(Word):
    """
    Text that spells a number.
    """

    def read(self, value: Value, path: Path, problems: Problems) -> Any:  # noqa: ANN401
        """
        Return the number, whole where it is spelled so.
        """
        text = super().read(value, path, problems)
        if text is BROKEN:
            return BROKEN
        try:
            number = plain_value(text.strip())
        except ValueError:
            number = None
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            problems.error(path, f"must spell a number, got {show(value)}")
            return BROKEN
        if isinstance(number, int):
            return number
        return Number().read(number, path, problems) if path else number


_SETTING = Record(
    {
        "name": Key(Text(), "Its name.", required=True),
        "value": Key(Word(), "Its value, as text.", required=True),
    }
)


def _algorithm(about: str) -> Key:
    record = Record(
        {
            "algorithmName": Key(Text(), "Its name.", required=True, example="random"),
            "algorithmSettings": Key(Nullable(ListOf(_SETTING)), "Its settings."),
        },
        foreign={"name": "write algorithmName", "settings": "write algorithmSettings"},
        main="algorithmName",
    )
    return Key(record, about)


_OBJECTIVE = Record(
    {
        "type": Key(OneOf(("minimize", "maximize")), "The direction.", required=True),
        "goal": Key(Nullable(Number()), "The experiment ends when a trial has reached it."),
        "objectiveMetricName": Key(Text(), "The metric.", required=True, example="loss"),
        "additionalMetricNames": Key(Nullable(ListOf(Text())), "More metrics to collect."),
        "metricStrategies": Key(
            Nullable(
                ListOf(
                    Record(
                        {
                            "name": Key(Text(), "Of the metric.", required=True),
                            "value": Key(
                                OneOf(("min", "max", "latest")), "Which one counts.", required=True
                            ),
                        }
                    )
                )
            ),
            "Which measurement of a metric counts.",
        ),
    },
    foreign={"direction": "write type", "metric": "write objectiveMetricName"},
)

_SPACE = Record(
    {
        "min": Key(Numeral(), "The least value."),
        "max": Key(Numeral(), "The largest one."),
        "step": Key(Numeral(), "Distance of neighbours."),
        "list": Key(ListOf(Word(), least=1), "All values."),
        "distribution": Key(
            OneOf(("uniform", "logUniform", "normal", "logNormal")), "Uniform by default."
        ),
    },
    foreign={"values": "write list", "low": "write min", "high": "write max"},
)

_PARAMETER = Record(
    {
        "name": Key(Text(), "Its name.", required=True),
        "parameterType": Key(
            OneOf(("double", "int", "discrete", "categorical")), "Of its values.", required=True
        ),
        "feasibleSpace": Key(_SPACE, "The values.", required=True),
    },
    foreign={"type": "write parameterType"},
)

TEMPLATE = Record(
    {
        "retain": Key(Flag(), "Of no effect."),
        "primaryContainerName": Key(Text(), "The container that is the trial."),
        "primaryPodLabels": Key(Anything(), "Of no effect."),
        "successCondition": Key(Text(), "Of no effect."),
        "failureCondition": Key(Text(), "Of no effect."),
        "trialParameters": Key(
            ListOf(
                Record(
                    {
                        "name": Key(Text(), "In the template.", required=True),
                        "description": Key(Nullable(Text(empty=True)), "For people."),
                        "reference": Key(Text(), "The parameter.", required=True),
                    }
                )
            ),
            "What the template calls the parameters.",
        ),
        "trialSpec": Key(Elsewhere({"type": "object"}), "A Job of batch/v1."),
        "configMap": Key(Anything(), "Where the template is kept in a cluster."),
    },
    partial=True,
)
"""The template of a trial."""

_COLLECTOR = Record(
    {
        "collector": Key(
            Record(
                {
                    "kind": Key(
                        OneOf(
                            (
                                "StdOut",
                                "File",
                                "TensorFlowEvent",
                                "PrometheusMetric",
                                "Custom",
                                "Push",
                                "None",
                            )
                        ),
                        "Where metrics are.",
                        required=True,
                    ),
                    "customCollector": Key(Anything(), "A container that reads them."),
                },
                main="kind",
            ),
            "Who collects metrics; StdOut by default.",
        ),
        "source": Key(
            Record(
                {
                    "filter": Key(
                        Record({"metricsFormat": Key(ListOf(Text()), "Regular expressions.")}),
                        "How lines are read.",
                    ),
                    "fileSystemPath": Key(Anything(), "A file or folder of the container."),
                    "httpGet": Key(Anything(), "A port of the container."),
                }
            ),
            "Where they are.",
        ),
    }
)

_SPEC = Record(
    {
        "objective": Key(_OBJECTIVE, "What is optimised."),
        "algorithm": _algorithm("The strategy."),
        "earlyStopping": _algorithm("What ends trials early."),
        "parameters": Key(ListOf(_PARAMETER), "What is searched."),
        "parallelTrialCount": Key(Nullable(Whole(least=1)), "Trials at a time; 3 by default."),
        "maxTrialCount": Key(Nullable(Whole(least=1)), "Trials."),
        "maxFailedTrialCount": Key(Nullable(Whole(least=0)), "Failed trials that end it."),
        "resumePolicy": Key(OneOf(("Never", "LongRunning", "FromVolume")), "Whether it goes on."),
        "trialTemplate": Key(TEMPLATE, "What a trial is."),
        "metricsCollectorSpec": Key(_COLLECTOR, "How metrics are read."),
        "nasConfig": Key(Anything(), "Not read."),
    },
    foreign={
        "maxTrials": "write maxTrialCount",
        "parallelTrials": "write parallelTrialCount",
        "earlyStoppingSpec": "write earlyStopping",
    },
    partial=True,
)

REQUIRED = {
    "objective": "write objective: {type: minimize, objectiveMetricName: loss}",
    "algorithm": "write algorithm: {algorithmName: random}",
    "parameters": "write parameters: [{name: ..., parameterType: ..., feasibleSpace: ...}]",
    "trialTemplate": "write trialTemplate: {trialParameters: ..., trialSpec: ...}",
}
"""What a spec must have, and what to write where it is missing."""

_METADATA = Record(
    {
        "name": Key(Text(), "The study's name."),
        "generateName": Key(Text(), "The beginning of one."),
        "namespace": Key(Text(), "Where a cluster runs it."),
        "labels": Key(MapOf(Text(empty=True)), "Of no effect."),
        "annotations": Key(MapOf(Text(empty=True)), "Of no effect."),
    },
    rest=Anything(),
    partial=True,
)

_STRATEGY = Record({"name": Key(Text(), "Its name.", required=True)}, rest=Anything())

FILE = Record(
    {
        "apiVersion": Key(OneOf(("kubeflow.org/v1beta1",)), "Of the resource.", required=True),
        "kind": Key(OneOf(("Experiment",)), "Of the resource.", required=True),
        "metadata": Key(_METADATA, "Name and namespace."),
        "spec": Key(_SPEC, "The experiment.", required=True),
        "status": Key(Anything(), "Of no effect."),
        OWN: Key(
            own_section(
                strategy=Key(Either(text=Text(), other=_STRATEGY), "In place of the algorithm."),
                foreign={
                    "trials": "write spec: {maxTrialCount: ...}",
                    "concurrency": "write spec: {parallelTrialCount: ...}",
                    "metric": "write spec: {objective: {objectiveMetricName: ...}}",
                },
            ),
            "What an Experiment has no key for.",
        ),
    },
    partial=True,
)
"""A whole file."""

WITHOUT_EFFECT = {
    ("status",): "the study keeps its own",
    ("metadata", "labels"): "they are a cluster's",
    ("metadata", "annotations"): "they are a cluster's",
    ("spec", "trialTemplate", "retain"): "what a trial leaves is kept in any case",
    ("spec", "trialTemplate", "primaryPodLabels"): "nobody looks for pods",
    ("spec", "trialTemplate", "successCondition"): "a trial is complete when its command is",
    ("spec", "trialTemplate", "failureCondition"): "a trial has failed when its command has",
}
"""What changes nothing here, and why."""
