"""The direct model: what scores of explored requests add to an estimate, and when they decide."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.guarded.direct import (
    FILE,
    DirectModel,
    fit_direct,
    left_out_errors,
    load_direct,
    save_direct,
)
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.sources.traffic import ExploredEvents
from litellm_benchrouter.views.verdict import verdict_view

N_MODELS = 3


def events(n: int, signal: float, seed: int = 0) -> tuple[Any, Any, Any]:
    """Return residuals, models and vectors: model 1 is good where the first number is above 0."""
    generator = np.random.default_rng(seed)
    vectors = normalize(generator.normal(size=(n, 8)).astype(np.float32))
    model = generator.integers(N_MODELS, size=n)
    chance = 0.5 + signal * np.where(model == 1, np.sign(vectors[:, 0]), 0.0)
    return (generator.random(n) < chance) - 0.5, model, vectors


def test_it_learns_where_a_model_is_good() -> None:
    residual, model, vectors = events(2_000, 0.4)
    error, without = left_out_errors(residual, model, vectors, N_MODELS)
    assert error < 0.9 * without
    fitted = fit_direct(residual, model, vectors, N_MODELS)
    fresh = events(500, 0.4, seed=1)[2]
    picks = (fitted.adjust(fresh) - fitted.caution(0)).argmax(axis=1)
    clear = np.abs(fresh[:, 0]) > 0.3
    assert ((picks == 1) == (fresh[:, 0] > 0))[clear].mean() > 0.9


def test_noise_is_not_taken_for_a_difference() -> None:
    """Left-out events decide: in 20 draws of pure noise seldom for the model."""
    errors = [left_out_errors(*events(400, 0.0, seed), N_MODELS) for seed in range(20)]
    assert sum(error < without for error, without in errors) <= 3


def test_a_model_that_was_seldom_asked_is_held_back() -> None:
    residual, model, vectors = events(600, 0.0)
    few = (model != 2) | (np.cumsum(model == 2) <= 2)
    fitted = fit_direct(residual[few], model[few], vectors[few], N_MODELS)
    caution = fitted.caution(0)
    assert caution[0] == 0
    assert caution[2] > caution[1] > 0


def test_over_some_of_the_models_it_says_the_same() -> None:
    fitted = fit_direct(*events(600, 0.3), N_MODELS)
    pooled, query = fitted.pool(np.array([2, 1])), events(5, 0.3, 2)[2]
    assert pooled.adjust(query) == pytest.approx(fitted.adjust(query)[:, [2, 1]])
    assert pooled.caution(0) == pytest.approx(fitted.caution(2)[[2, 1]])


@pytest.mark.parametrize("damage", ["nothing", "cut", "shape", "nan", "count"])
def test_a_file_is_read_back_or_refused(tmp_path: Path, damage: str) -> None:
    fitted = fit_direct(*events(300, 0.3), N_MODELS, on_labels=True)
    arrays = dict(fitted.__dict__)
    if damage == "shape":
        arrays["shift"] = arrays["shift"][1:]
    if damage == "nan":
        arrays["ridge"] = arrays["ridge"] * np.nan
    if damage == "count":
        arrays["count"] = -arrays["count"]
    save_direct(DirectModel(**arrays), tmp_path)
    if damage == "cut":
        (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:100])
    if damage == "nothing":
        read = load_direct(tmp_path, dimension=8, n_models=N_MODELS)
        assert bool(read.on_labels)
        assert np.array_equal(read.ridge, fitted.ridge)
        return
    with pytest.raises(ArtifactError, match="build again"):
        load_direct(tmp_path, dimension=8, n_models=N_MODELS)


def test_a_build_with_feedback_decides_by_it(demo_built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(demo_built, tmp_path / "demo"))
    config = load_config(folder / "config.yaml").model_copy(update={"method": "guarded"})
    prompts = [
        f"Amira has {i} tickets and gives away {i % 7} of them. How many?" for i in range(300)
    ]
    names = ["spark-3b", "atlas-70b", "mathsmith-8b"]
    models = [names[i % 3] for i in range(300)]
    scores = [float(model == "spark-3b") for model in models]
    for n, method in ((300, "feedback"), (150, None)):
        given = ExploredEvents(prompts[:n], models[:n], scores[:n])
        built = build(config, explored=given, force=True)
        router = BenchRouter(read_artifact(built.folder))
        decision = router.decide("Bo has 12 tickets and gives away 5 of them. How many?")
        if method:
            assert (decision.method, decision.pick) == (method, "spark-3b")
            part = (built.manifest.verdict or {})["feedback"]
            assert (part["events"], part["served"]) == (300, True)
            assert part["error"] < part["error_without"]
            shown = verdict_view(built.manifest.verdict, "atlas-70b")
            assert shown is not None
            row = next(row for row in shown.parts if row.title == "Feedback")
            assert row.pool == "300 scored explored requests, left out in ten parts"
            assert "it adds to the estimate: mean squared error 0." in row.finding
            assert "300 scored answers to explored requests" in decision.reason
            two = router.decide("Bo has 12 tickets. How many?", models=["atlas-70b", "coder-14b"])
            assert two.method == "feedback"
        else:
            assert decision.method != "feedback"
            assert any("200 are needed" in warning for warning in built.manifest.warnings)
