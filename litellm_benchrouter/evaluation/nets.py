"""The MLP of appendix C.1 as correctness predictor, in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.core.benchmark import MISSING
from litellm_benchrouter.errors import ConfigError

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]

_BATCH = 500  # the paper does not say; 100 to 1,000 were equally good


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the paper's (appendix C.1), but for `each_model`.

    Attributes
    ----------
    hidden : sequence of int
        Units of the hidden layers.
    epochs : int
        Most passes over the training samples.
    learning_rate : float
        Of Adam.
    patience : int
        Epochs without a better validation accuracy after which training stops.
    validation : float
        Share of the samples that is held out for that.
    each_model : bool
        Train one net a model, as the paper does, and not one net with an output for each.
    """

    hidden: Sequence[int] = (1500, 1500)
    epochs: int = 100
    learning_rate: float = 0.01
    patience: int = 10
    validation: float = 0.1
    each_model: bool = False

    def steps(self, n_models: int) -> int:
        """Epochs that `train` reports, at most trained."""
        return self.epochs * (n_models if self.each_model else 1)


@dataclass(frozen=True)
class Trained:
    """Correctness predictors, and the samples that they were stopped by.

    Attributes
    ----------
    predict : callable
        Vectors of shape (q, d) -> g of shape (q, M); NaN for a model without training labels.
    validation : ndarray of int
        Positions among the samples given.
    """

    predict: Callable[[NDArray[np.float32]], Array]
    validation: NDArray[np.intp]


def train(
    vectors: NDArray[np.float32],
    correctness: NDArray[np.uint8],
    recipe: Recipe,
    *,
    seed: Sequence[int],
    progress: Callable[[int], None],
) -> Trained:
    """Fit g to labels by binary cross-entropy; a missing label adds nothing to the loss.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
    correctness : ndarray of uint8, shape (n, M)
        255 is missing.
    recipe : Recipe
    seed : sequence of int
        Of the weights, the batches and the validation samples.
    progress : callable
        Called with the number of epochs done, or saved by stopping early, since the last call.

    Returns
    -------
    Trained

    Raises
    ------
    ConfigError
        If torch is not installed.
    """
    torch = _torch()
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
            chosen = correctness[:, columns]
            inputs = [_batch(vectors[part], chosen[part]) for part in (rest, validation)]
            nets.append(_fit(*inputs, recipe, progress))
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
class _Batch:
    """Inputs, labels as floats, and 1 where a label is known."""

    inputs: torch.Tensor
    labels: torch.Tensor
    known: torch.Tensor

    def of(self, rows: torch.Tensor) -> _Batch:
        return _Batch(self.inputs[rows], self.labels[rows], self.known[rows])

    def loss(self, net: torch.nn.Module) -> torch.Tensor:
        cross_entropy = _torch().nn.functional.binary_cross_entropy_with_logits(
            net(self.inputs), self.labels, weight=self.known, reduction="sum"
        )
        return cross_entropy / self.known.sum().clamp(min=1.0)

    def accuracy(self, net: torch.nn.Module) -> float:
        with _torch().inference_mode():
            right = ((net(self.inputs) > 0.0) == (self.labels > 0.5)) * self.known
        return float(right.sum() / self.known.sum().clamp(min=1.0))


def _batch(vectors: NDArray[np.float32], correctness: NDArray[np.uint8]) -> _Batch:
    torch = _torch()
    labelled = (correctness != MISSING).any(axis=1)  # the others teach nothing
    labels = correctness[labelled]
    return _Batch(
        torch.from_numpy(vectors[labelled]),
        torch.from_numpy((labels == 1).astype(np.float32)),
        torch.from_numpy((labels != MISSING).astype(np.float32)),
    )


def _fit(
    training: _Batch, validation: _Batch, recipe: Recipe, progress: Callable[[int], None]
) -> torch.nn.Module:
    """Train one net, and return it as it was when its validation accuracy was best."""
    torch = _torch()
    layers: list[torch.nn.Module] = []
    width = training.inputs.shape[1]
    for units in recipe.hidden:
        layers += [torch.nn.Linear(width, units), torch.nn.ReLU()]
        width = units
    net = torch.nn.Sequential(*layers, torch.nn.Linear(width, training.labels.shape[1]))
    optimizer = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate, fused=True)
    best, since = -1.0, 0
    kept: dict[str, torch.Tensor] = {}
    for epoch in range(recipe.epochs):
        for rows in torch.randperm(len(training.inputs)).split(_BATCH):
            optimizer.zero_grad()
            training.of(rows).loss(net).backward()
            optimizer.step()
        progress(1)
        accuracy = validation.accuracy(net)
        since += 1
        if accuracy > best:
            best, since = accuracy, 0
            kept = {name: value.clone() for name, value in net.state_dict().items()}
        if since == recipe.patience:
            progress(recipe.epochs - epoch - 1)
            break
    net.load_state_dict(kept)
    return net


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the protocol mlp needs torch, which is not installed; "
            'run pip install "litellm-benchrouter[eval]", or leave the protocol out.'
        ) from error
    return torch
