"""
Trains a classifier of handwritten digits: the demo's objective.

A small neural network on the digits that come with scikit-learn, 1347 of them
to learn from and 450 to be judged by. Knows nothing of who tunes it: options
in, one line of JSON for each epoch out.

A checkpoint is kept in ``HPO_CHECKPOINT_DIR``, if that is set. Training goes on
from there, or else from that in ``HPO_PARENT_CHECKPOINT_DIR``; it comes to the
same as training without a break.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["main", "parse", "train"]

# Before numpy is loaded: trials run side by side, so each gets one core.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# The split never changes: trials are to differ by their parameters alone.
_SPLIT_SEED = 0
_VALIDATION_SHARE = 0.25


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """
    Return the command's options; the defaults are plain gradient descent.
    """
    parser = argparse.ArgumentParser(description="Train a classifier of handwritten digits.")
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--hidden", type=int, default=32, help="units of the hidden layer")
    parser.add_argument("--alpha", type=float, default=1e-4, help="L2 penalty")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--solver", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--momentum", type=float, default=0.0, help="of sgd")
    parser.add_argument("--activation", choices=["relu", "tanh", "logistic"], default="relu")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main() -> None:
    """
    Train as the command line says, and print what was measured.
    """
    options = parse()
    for measured in train(options):
        print(json.dumps(measured), flush=True)


def train(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """
    Yield what each epoch measured, those before a checkpoint included.
    """
    images, labels, validation_images, validation_labels = _data()
    settings = {name: value for name, value in vars(options).items() if name != "epochs"}
    model, history = _resume(settings) or (_model(options), [])
    yield from history[: options.epochs]
    for epoch in range(len(history) + 1, options.epochs + 1):
        model.partial_fit(images, labels, classes=range(10))
        measured = {
            "epoch": epoch,
            "loss": round(float(model.loss_), 6),
            "val_accuracy": round(float(model.score(validation_images, validation_labels)), 6),
        }
        history.append(measured)
        _save(settings, model, history)
        yield measured


def _data() -> Any:  # noqa: ANN401 - four arrays
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    split = train_test_split(
        images / 16.0,
        labels,
        test_size=_VALIDATION_SHARE,
        stratify=labels,
        random_state=_SPLIT_SEED,
    )
    return split[0], split[2], split[1], split[3]


def _model(options: argparse.Namespace) -> Any:  # noqa: ANN401 - scikit-learn is not typed
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=(options.hidden,),
        activation=options.activation,
        solver=options.solver,
        alpha=options.alpha,
        batch_size=options.batch_size,
        learning_rate_init=options.learning_rate,
        momentum=options.momentum,
        random_state=options.seed,
    )


def _resume(settings: dict[str, Any]) -> tuple[Any, list[dict[str, float]]] | None:
    """
    Return model and history of a checkpoint that was made with *settings*.
    """
    for variable in ("HPO_CHECKPOINT_DIR", "HPO_PARENT_CHECKPOINT_DIR"):
        folder = os.environ.get(variable)
        path = Path(folder, "digits.pickle") if folder else None
        if path is None or not path.exists():
            continue
        with path.open("rb") as file:
            checkpoint = pickle.load(file)  # noqa: S301 - we wrote it ourselves
        if checkpoint["settings"] == settings:
            return checkpoint["model"], checkpoint["history"]
    return None


def _save(settings: dict[str, Any], model: object, history: list[dict[str, float]]) -> None:
    """
    Keep a checkpoint; whoever is killed meanwhile leaves the one before.
    """
    folder = os.environ.get("HPO_CHECKPOINT_DIR")
    if not folder:
        return
    path = Path(folder, "digits.pickle")
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        pickle.dump({"settings": settings, "model": model, "history": history}, file)
    new.replace(path)


if __name__ == "__main__":
    main()
