"""
Two searches within a pipeline: which kind of model reads digits better, and with what parameters.

Data is prepared once, both searches run side by side, and the better one's model is trained on
all the data there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, task

from airflow_hpo import tune

if TYPE_CHECKING:
    from collections.abc import Iterator

STUDY = {
    "hpo": 1,
    "objective": {"metric": "accuracy", "direction": "maximize"},
    "strategy": {"name": "tpe", "seed": 7},
    "budget": {"trials": 4},
    "execution": {"batch_size": 2},
}

LINEAR = {
    **STUDY,
    "name": "linear",
    "space": {"alpha": {"float": [1e-5, 1e-1], "log": True}, "epochs": 3},
    "pruner": {"name": "median", "startup_trials": 2},
}

FOREST = {
    **STUDY,
    "name": "forest",
    "space": {"trees": {"int": [5, 50]}, "depth": {"int": [2, 12]}},
}


@task
def prepare() -> dict[str, int]:
    """
    Return how the data is divided: so many images to learn from, and so many to judge by.
    """
    return {"learn": 800, "judge": 400}


def linear(alpha: float, epochs: int, sizes: dict[str, int]) -> Iterator[dict[str, float]]:
    """
    Yield the accuracy after each epoch, so that a hopeless trial can be ended early.
    """
    from sklearn.datasets import load_digits
    from sklearn.linear_model import SGDClassifier

    images, labels = load_digits(return_X_y=True)
    learn, judge = slice(sizes["learn"]), slice(-sizes["judge"], None)
    model = SGDClassifier(alpha=alpha, random_state=0)
    for epoch in range(1, epochs + 1):
        model.partial_fit(images[learn], labels[learn], classes=range(10))
        yield {"epoch": epoch, "accuracy": float(model.score(images[judge], labels[judge]))}


@task.hpo_trial
def forest(trees: int, depth: int, sizes: dict[str, int]) -> float:
    """
    Return the accuracy of a random forest.
    """
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    images, labels = load_digits(return_X_y=True)
    learn, judge = slice(sizes["learn"]), slice(-sizes["judge"], None)
    model = RandomForestClassifier(n_estimators=trees, max_depth=depth, random_state=0)
    model.fit(images[learn], labels[learn])
    return float(model.score(images[judge], labels[judge]))


@task
def choose(*candidates: dict[str, Any]) -> dict[str, Any]:
    """
    Return the better of the best trials.
    """
    return max(candidates, key=lambda each: each["value"])


with DAG(
    "example_pipeline", schedule=None, catchup=False, tags=["hpo", "example"], doc_md=__doc__
) as dag:
    sizes = prepare()
    lines = tune(LINEAR, trial=task(linear).partial(sizes=sizes))
    trees = tune(FOREST, trial=forest.partial(sizes=sizes))
    winner = choose(lines.best, trees.best)
    # The same function, as an ordinary task: no study is told of it.
    again = forest.override(task_id="train_again")(
        trees=trees.best_params["trees"], depth=trees.best_params["depth"], sizes=sizes
    )
    winner >> again
