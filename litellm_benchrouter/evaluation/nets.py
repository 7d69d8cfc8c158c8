"""The MLP of appendix C.1 as correctness predictor; the only file that imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import MISSING

Array = NDArray[np.float64]

_STEPS = 20  # of an epoch at least, or patience ends before a small benchmark is learned
_SMALLEST, _LARGEST = 32, 500  # batches; the paper does not say, and 100 to 1,000 were as good


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the paper's (appendix C.1), but for `each_model`."""

    hidden: Sequence[int] = (1500, 1500)  # units of the hidden layers
    epochs: int = 100  # most passes over the training samples
    learning_rate: float = 0.01  # of Adam
    patience: int = 10  # epochs without a better validation accuracy after which training stops
    validation: float = 0.1  # share of the samples that is held out for that
    # one net a model, as the paper has it, and not one net with an output for each
    each_model: bool = False

    def steps(self, n_models: int) -> int:
        """Epochs that `train` reports, at most trained."""
        return self.epochs * (n_models if self.each_model else 1)


@dataclass(frozen=True)
class Trained:
    """Correctness predictors, and the samples that they were stopped by."""

    # vectors (q, d) -> g (q, M); NaN for a model without training labels
    predict: Callable[[NDArray[np.float32]], Array]
    validation: NDArray[np.intp]  # positions among the samples given


def train(
    vectors: NDArray[np.float32],
    correctness: NDArray[np.uint8],
    recipe: Recipe,
    *,
    seed: Sequence[int],
    progress: Callable[[int], None],
) -> Trained:
    """Fit g to labels by binary cross-entropy; a missing label (255) adds nothing to the loss.

    Vectors have the shape (n, d), labels (n, M). The seed is that of the weights, the batches and
    the validation samples; `progress` takes the epochs done, or saved by stopping early, since its
    last call.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(vectors))
    n_validation = max(1, round(recipe.validation * len(vectors)))
    validation, rest = order[:n_validation], order[n_validation:]
    n_models = correctness.shape[1]
    together = [slice(0, n_models)]
    outputs = [slice(m, m + 1) for m in range(n_models)] if recipe.each_model else together
    nets: list[torch.nn.Module] = []
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay its own
        for columns in outputs:
            torch.manual_seed(int(generator.integers(2**31)))
            training = _labelled(vectors[rest], correctness[rest, columns])
            stopping = _labelled(vectors[validation], correctness[validation, columns])
            nets.append(_fit(training, stopping, recipe, progress))
    unlabelled = (correctness[rest] == MISSING).all(axis=0)

    def predict(queries: NDArray[np.float32]) -> Array:
        given = torch.from_numpy(np.ascontiguousarray(queries))
        with torch.inference_mode():
            g = torch.cat([torch.sigmoid(net(given)) for net in nets], dim=1)
        probability: Array = g.numpy().astype(np.float64)
        probability[:, unlabelled] = np.nan
        return probability

    return Trained(predict, validation)


@dataclass(frozen=True)
class _Samples:
    """Inputs, labels as floats, and 1 where a label is known."""

    inputs: torch.Tensor
    labels: torch.Tensor
    labelled: torch.Tensor

    def loss(self, net: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
        """Mean binary cross-entropy over the known labels of some rows."""
        weight = self.labelled[rows]
        total = torch.nn.functional.binary_cross_entropy_with_logits(
            net(self.inputs[rows]), self.labels[rows], weight=weight, reduction="sum"
        )
        return total / weight.sum()

    def accuracy(self, net: torch.nn.Module) -> float:
        """Share of the known labels that I(g > 0.5) predicts; 0 where none is known."""
        with torch.inference_mode():
            right = ((net(self.inputs) > 0.0) == (self.labels > 0.5)) * self.labelled
        return float(right.sum() / self.labelled.sum().clamp(min=1.0))


def _labelled(vectors: NDArray[np.float32], correctness: NDArray[np.uint8]) -> _Samples:
    """Keep the samples that have a label; the others teach nothing."""
    rows = (correctness != MISSING).any(axis=1)
    labels = correctness[rows]
    return _Samples(
        torch.from_numpy(vectors[rows]),
        torch.from_numpy((labels == 1).astype(np.float32)),
        torch.from_numpy((labels != MISSING).astype(np.float32)),
    )


def _fit(
    training: _Samples, validation: _Samples, recipe: Recipe, progress: Callable[[int], None]
) -> torch.nn.Module:
    """Train one net, and return it as it was when its validation accuracy was best."""
    layers: list[torch.nn.Module] = []
    width = training.inputs.shape[1]
    for units in recipe.hidden:
        layers += [torch.nn.Linear(width, units), torch.nn.ReLU()]
        width = units
    net = torch.nn.Sequential(*layers, torch.nn.Linear(width, training.labels.shape[1]))
    optimizer = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate)
    best, since = -1.0, 0
    best_state: dict[str, torch.Tensor] = {}
    n = len(training.inputs)
    batch = min(max(n // _STEPS, _SMALLEST), _LARGEST)
    for epoch in range(recipe.epochs):
        for rows in torch.split(torch.randperm(n), batch):
            optimizer.zero_grad()
            training.loss(net, rows).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        progress(1)
        accuracy = validation.accuracy(net)
        since += 1
        if accuracy > best:
            best, since = accuracy, 0
            best_state = {name: value.clone() for name, value in net.state_dict().items()}
        if since == recipe.patience:
            progress(recipe.epochs - epoch - 1)
            break
    net.load_state_dict(best_state)
    return net
