"""What an older release wrote still loads, and decides the same."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import golden
import pytest
import tiny

from litellm_benchrouter.artifact.manifest import SCHEMA_VERSION, Manifest, read_manifest
from litellm_benchrouter.artifact.version import Artifact, read_artifact, verify_artifact
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.routing.decision import KINDS
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store

DATA = Path(__file__).parents[1] / "data"
SCHEMAS = range(1, SCHEMA_VERSION + 1)


def released(schema: int) -> Artifact:
    store = Store(DATA / f"schema-{schema}")
    return read_artifact(store.folder(store.current() or ""))


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("method", ["guarded", "paper"])
def test_every_decision_is_what_it_was(schema, method):
    artifact = released(schema)
    parameters = artifact.manifest.parameters | {"method": method}
    manifest = artifact.manifest.model_copy(update={"parameters": parameters})
    router = BenchRouter(replace(artifact, manifest=manifest))
    recorded = json.loads((DATA / f"schema-{schema}" / "decisions.json").read_bytes())[method]
    methods = set()
    for was in recorded:
        now = router.decide(was["prompt"], task=was["task"], models=was["models"])
        assert (list(now.ranking), now.method) == (was["ranking"], was["method"]), was
        assert dict(now.scores or {}) == pytest.approx(was["scores"], abs=1e-5, nan_ok=True)
        methods.add(now.method)
    assert len(recorded) == 24
    assert methods > {"bma", "measured"}  # and what the method adds


@pytest.mark.parametrize("schema", SCHEMAS)
def test_its_files_verify_and_are_small_enough_to_keep(schema):
    folder = released(schema).folder
    assert verify_artifact(folder).schema_version == schema
    files = [path for path in (DATA / f"schema-{schema}").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 100_000


OPTIONAL = [name for name, field in Manifest.model_fields.items() if not field.is_required()]


@pytest.mark.parametrize("key", OPTIONAL)
def test_a_manifest_written_before_an_optional_key_was_known_is_as_good(tmp_path, key):
    folder = tmp_path / "version"
    shutil.copytree(released(1).folder, folder)
    document = tiny.read_document(folder)
    document.pop(key, None)
    tiny.write_manifest(folder, document)
    assert getattr(read_manifest(folder), key) is None


def test_a_key_that_this_release_does_not_know_is_named(tmp_path):
    folder = tmp_path / "version"
    shutil.copytree(released(1).folder, folder)
    tiny.write_manifest(folder, tiny.read_document(folder) | {"of_the_future": 1})
    with pytest.raises(ArtifactError, match=r"manifest\.json: `of_the_future` is wrong"):
        read_manifest(folder)


def test_the_tool_that_wrote_it_never_writes_it_again(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    import make_golden_artifact

    with pytest.raises(SystemExit, match="is not to be changed"):
        make_golden_artifact.main()
    del sys.modules["make_golden_artifact"]


@pytest.mark.parametrize(
    ("name", "record"),
    [("decisions", golden.record_decisions), ("evaluation", golden.record_evaluation)],
)
def test_builds_decide_and_evaluate_as_recorded(name, record):
    recorded = golden.read_recorded(name)
    if name == "decisions":
        listed = [d for case in recorded.values() for d in case["decisions"] if isinstance(d, list)]
        kinds = {d[0] if isinstance(d[0], str) else d[1] for d in listed}
        # The service makes these of others: tests/serving, test_escalation.py and test_explore.py.
        assert kinds == KINDS - {"escalated", "explored"}, "every kind of decision is among them"
    # Distances are float32, whose last bits depend on the processor.
    tolerance = 1e-5
    assert not list(golden.differences(recorded, golden.rounded(record()), tolerance))
