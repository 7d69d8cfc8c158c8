"""Labels of own traffic, from the file to the decision: read, fitted, proved, stored, served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from litellm_benchrouter.artifact.files import read_json
from litellm_benchrouter.artifact.verdict import Verdict
from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.building.traffic import _part
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import ArtifactError, SourceError
from litellm_benchrouter.guarded.gain import Gain
from litellm_benchrouter.guarded.own_labels import FILE, MOST_LABELS, labels_to_settle
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.sources.traffic import read_traffic_labels

MODELS = tiny.MODELS
TOPICS = ("is the west in the south of the east", "the number in the north is what number")


def lines(n: int, *, best: str = "dog", seed: int = 0) -> list[dict[str, object]]:
    """Return labelled prompts unlike the benchmark's: one model is right, the others seldom."""
    generator = np.random.default_rng(seed)
    return [
        {
            "prompt": f"{TOPICS[i % 2]} {chr(97 + i % 26) * 3} number {i}",
            "scores": {m: int(generator.random() < (0.9 if m == best else 0.2)) for m in MODELS},
            "time": f"2026-11-{1 + i % 28:02d}T07:00:00Z",
        }
        for i in range(n)
    ]


def write_labels(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def built(folder: Path, rows: list[dict[str, object]] | None, **block: object) -> Built:
    """Build a benchmark with a lexical embedder, and own labels where there are some."""
    if rows is not None:
        write_labels(folder / "own.jsonl", rows)
        block = {"traffic": {"labels": "own.jsonl"}} | block
    settings = {"method": "guarded", "embedder": {"kind": "lexical", "dimensions": 16}, "tasks": {}}
    sources = [{"path": "benchmark.csv"}]
    return build(load_config(tiny.write(folder, **(settings | {"sources": sources} | block))))


@pytest.fixture(scope="module")
def gaining(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Artifact]:
    done = built(tmp_path_factory.mktemp("gaining"), lines(120))
    return done, read_artifact(done.folder)


def test_own_labels_decide_requests_and_say_so(gaining):
    done, artifact = gaining
    part = done.manifest.verdict["traffic"]
    assert done.manifest.verdict["served"]["traffic"] == "traffic" == part["served"]
    assert part["lower"] > 0
    assert part["claim"] == "gains"
    assert part["labels_to_settle"] == 0
    assert part["n_samples"] == 120
    router = BenchRouter(artifact)
    decision = router.decide(f"{TOPICS[0]} number 7")
    assert decision.ranking[0] == "dog"
    assert decision.method == "traffic"
    assert "120 labelled prompts of own traffic" in decision.reason
    assert all(np.isfinite(value) for value in decision.scores.values())


def test_over_a_part_of_the_models_they_decide_among_these(gaining):
    router = BenchRouter(gaining[1])
    decision = router.decide(TOPICS[0], models=["ant", "dog"])
    assert decision.ranking == ("dog", "ant")
    without = router.decide(TOPICS[0], models=["ant", "bee", "cat"])
    assert set(without.ranking) == {"ant", "bee", "cat"}


def test_a_policy_weighs_what_own_labels_expect(gaining):
    explanation = BenchRouter(gaining[1]).explain(TOPICS[0])
    assert explanation.probability["dog"] > 0.6
    assert all(0 <= value <= 1 for value in explanation.probability.values())


def test_the_proof_is_of_picks_without_the_own_group(gaining):
    """Labels that nothing tells apart: held out, no pick gains from its own label."""
    own = gaining[1].own_labels
    assert own is not None
    everything = np.arange(len(MODELS))
    gain = own.gain(everything, own.model.best, routes=False)
    assert gain.gain == pytest.approx(gaining[0].manifest.verdict["traffic"]["gain"], abs=1e-5)
    fresh = replace(own, labels=own.labels[np.random.default_rng(0).permutation(len(own.labels))])
    before = own.picks(everything, own.model.best, routes=False)
    assert (fresh.picks(everything, own.model.best, routes=False) == before).all()


def test_labels_that_show_a_loss_decide_nothing(tmp_path):
    """The best on average is right on this traffic, too: there is nothing to gain over it."""
    plain = built(tmp_path, None)
    best = max(plain.manifest.models, key=lambda model: model.average_accuracy).name
    with_labels = built(tmp_path, lines(60, best=best))
    part = with_labels.manifest.verdict["traffic"]
    assert part["gain"] <= 0
    assert part["served"] == with_labels.manifest.verdict["served"]["requests"]
    assert "decide nothing" in part["claim"]
    assert FILE not in with_labels.manifest.files
    artifact = read_artifact(with_labels.folder)
    assert artifact.own_labels is None
    assert BenchRouter(artifact).decide(TOPICS[0]).method != "traffic"


def test_a_build_without_own_labels_knows_nothing_of_them(tmp_path):
    done = built(tmp_path, None)
    assert "traffic" not in done.manifest.verdict
    assert "traffic" not in done.manifest.verdict["served"]
    assert FILE not in done.manifest.files
    assert read_artifact(done.folder).own_labels is None


@pytest.mark.parametrize(
    ("rows", "block", "why"),
    [
        (lines(4), {}, "10 labelled prompts of own traffic are needed, there are "),
        (lines(40), {"method": "paper"}, "the method guarded is needed"),
    ],
)
def test_what_cannot_be_proved_says_why(tmp_path, rows, block, why):
    done = built(tmp_path, rows, **block)
    assert why in done.manifest.verdict["unproven"]["traffic"]
    assert read_artifact(done.folder).own_labels is None


def test_equal_labels_give_equal_bytes(tmp_path):
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    one, two = (built(folder, lines(60)) for folder in folders)
    assert one.manifest.files[FILE] == two.manifest.files[FILE]
    assert one.manifest.version == two.manifest.version


def test_a_damaged_file_is_refused(tmp_path):
    done = built(tmp_path, lines(120))
    path = done.folder / FILE
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=FILE):
        read_artifact(done.folder)
    with np.load(built(tmp_path, lines(119)).folder / FILE) as file:
        arrays = dict(file)
    for name, value in (("ridge", arrays["ridge"][:, :2]), ("mean", arrays["mean"] * np.nan)):
        np.savez(path, **(arrays | {name: value}))
        document = read_json(done.folder / "manifest.json")
        (done.folder / "manifest.json").chmod(0o644)
        tiny.write_manifest(done.folder, document)
        target = done.folder.with_name(read_json(done.folder / "manifest.json")["version"])
        done.folder.rename(target)
        with pytest.raises(ArtifactError, match=name):
            read_artifact(target)
        target.rename(done.folder)


def test_lines_are_read_in_either_form_and_add_up(tmp_path):
    rows = [
        {"prompt": "one", "scores": {"ant": 1, "alias": "0"}, "time": "2026-11-29T07:00:00+01:00"},
        {"prompt": "two", "model": "ant", "score": 0.5, "group": "g"},
        {"prompt": "one", "model": "cat", "score": True},
        {"prompt": "one", "model": "ant", "score": None},
        {"prompt": "three", "model": "ant", "score": None},
        {"messages": [{"role": "user", "content": "four"}], "scores": {"zebra": 1, "cat": 0}},
    ]
    warnings: list[str] = []
    path = write_labels(tmp_path / "own.jsonl", rows)
    found = read_traffic_labels(path, MODELS, {"alias": "bee"}, warnings)
    assert found.prompts == ["one", "two", "four"]
    nan = np.nan
    expected = [[nan, 0, 1, nan], [0.5, nan, nan, nan], [nan, nan, 0, nan]]
    np.testing.assert_array_equal(found.labels, np.array(expected, np.float32))
    assert found.time[0] == 1795932000.0
    assert np.isnan(found.time[1:]).all()
    assert found.group == [None, "g", None]
    assert "zebra" in warnings[0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "one", "scores": {"ant": 3}}, "the score is 3"),
        ({"prompt": "one", "scores": [1]}, '"scores" is [1]'),
        ({"prompt": "one", "model": "ant", "score": 1, "time": "soon"}, "the time is 'soon'"),
        ({"prompt": "one"}, "names no model"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, row, words):
    path = write_labels(tmp_path / "own.jsonl", [row])
    with pytest.raises(SourceError) as caught:
        read_traffic_labels(path, MODELS, {}, [])
    assert words in str(caught.value)
    assert "line 1" in str(caught.value)


def verdict() -> Verdict:
    served = {"requests": "bma", "named": "bma", "unseen": "bma"}
    return Verdict("guarded", served, None, None, None, "no-worse-than-bma", 0.005)


def test_what_is_not_settled_says_how_many_labels_would_settle_it():
    gain = Gain(0.02, 0.02, 0.5, 100)
    # (1.645 * .02 / .02)^2 = 2.706 times as many labels
    assert labels_to_settle(gain) == 171
    part = _part(gain, verdict(), 100, decides=True)
    assert part["claim"] == (
        "not shown to be no worse; about 171 more labelled prompts would settle it"
    )
    assert labels_to_settle(Gain(0.05, 0.02, 0.5, 100)) == 0
    assert labels_to_settle(Gain(0.0, 0.02, 0.5, 100)) is None
    assert labels_to_settle(Gain(1e-4, 0.02, 0.5, MOST_LABELS)) is None


def test_own_labels_hold_no_version_back():
    part = _part(Gain(0.02, 0.02, 0.5, 100), verdict(), 100, decides=True)
    assert replace(verdict(), traffic=part).passes


def test_the_weight_of_cost_is_the_largest_that_keeps_the_quality_by_one_standard_error(tmp_path):
    """`dog` is right on this traffic and the cheapest: the largest weight of all keeps quality."""
    prices = {
        model: {"input_price_usd_per_mtok": price, "output_price_usd_per_mtok": price}
        for model, price in zip(MODELS, (4.0, 3.0, 2.0, 1.0), strict=True)
    }
    cheap = built(tmp_path, lines(120), models=prices).manifest.verdict["traffic"]["trade_off"]
    assert cheap["policy"] == "balanced:10"
    assert cheap["gain"] > 0.3
    assert 0 < cheap["saved"] < 1
    # As the dearest it stays worth its price only while cost weighs little.
    for model, price in zip(MODELS, (1.0, 2.0, 3.0, 4.0), strict=True):
        prices[model] = {"input_price_usd_per_mtok": price, "output_price_usd_per_mtok": price}
    dear = built(tmp_path, lines(120), models=prices).manifest.verdict["traffic"]["trade_off"]
    assert float(dear["policy"].partition(":")[2]) < 10
    assert dear["gain"] >= 0


def test_without_prices_no_weight_is_named(gaining):
    assert gaining[0].manifest.verdict["traffic"]["trade_off"] is None
