"""Encoders that serve without torch: exported to ONNX, or distilled."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import load as load_graph
from onnx import save as save_graph

from litellm_benchrouter.config import EmbedderConfig
from litellm_benchrouter.embedders import (
    Embedder,
    OnnxEmbedder,
    SentenceTransformersEmbedder,
    StaticEmbedder,
    load_embedder,
    make_embedder,
)
from litellm_benchrouter.embedders import onnx as module
from litellm_benchrouter.errors import EmbedderError

LONG = "What is the average speed of a train? " * 200


def cosine(a: Embedder, b: Embedder, texts: list[str]) -> np.ndarray:
    return (a.embed(texts) * b.embed(texts)).sum(axis=1)


def test_the_exported_encoder_gives_the_vectors_of_the_original(
    onnx: OnnxEmbedder, minilm: SentenceTransformersEmbedder, small_model: Path, corpus: list[str]
) -> None:
    assert cosine(onnx, minilm, [*corpus, LONG]).min() > 0.9999
    operators = {node.op_type for node in load_graph(onnx.graph).graph.node}
    assert "IsNaN" not in operators, "the attention has no mask"

    small = SentenceTransformersEmbedder(str(small_model))
    exact = OnnxEmbedder.export(str(small_model))
    assert cosine(exact, small, [*corpus, LONG]).min() > 0.9999


def test_an_export_with_other_vectors_is_refused_and_not_kept(
    small_model: Path, corpus: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = module._export

    def turned(model: str, folder: Path) -> SentenceTransformersEmbedder:
        original = export(model, folder)
        graph = load_graph(folder / "encoder.onnx")
        for tensor in graph.graph.initializer:
            if len(tensor.dims) == 2:
                tensor.raw_data = np.frombuffer(tensor.raw_data, np.float32)[::-1].tobytes()
        save_graph(graph, folder / "encoder.onnx")
        return original

    monkeypatch.setattr(module, "_export", turned)
    with pytest.raises(EmbedderError, match=r"other vectors after.*lowest cosine over 16 prompts"):
        OnnxEmbedder.export(str(small_model), corpus, cache=tmp_path)
    assert not list((tmp_path / "encoders").iterdir())
    monkeypatch.undo()
    good = OnnxEmbedder.export(str(small_model), corpus, cache=tmp_path)
    assert good.graph.parent.parent == tmp_path / "encoders"


def test_an_artifact_in_eight_bits_still_opens(
    small_model: Path, corpus: list[str], tmp_path: Path
) -> None:
    reason = "onnx, which onnxruntime quantizes with, is not installed (extra `onnx-build`)"
    quantize = pytest.importorskip("onnxruntime.quantization", reason=reason).quantize_dynamic
    exact = OnnxEmbedder.export(str(small_model))
    exact.save(tmp_path)
    quantize(exact.graph, tmp_path / "encoder.onnx")
    identity = exact.identity() | {"precision": "int8"}
    opened = load_embedder(identity, tmp_path)
    assert opened.identity()["precision"] == "int8"
    assert 0.9 < cosine(opened, exact, corpus).min() < 0.99999


@pytest.mark.parametrize("kind", ["MPNet", "ModernBert", "Qwen3", "Roberta"])
def test_encoders_of_other_kinds_are_exported_as_they_are(
    kind: str, small_model: Path, tmp_path: Path
) -> None:
    model = str(encoder_of_kind(kind, small_model, tmp_path / "model"))
    original = SentenceTransformersEmbedder(model)
    texts = ["What is the capital of France?", "the weather is fine in the city of train " * 8]
    exported = OnnxEmbedder.export(model, texts)
    assert cosine(exported, original, texts).min() > 0.99999


def encoder_of_kind(kind: str, small_model: Path, folder: Path) -> Path:
    """Return an encoder with positions in its attention, a window, a causal one, or the usual."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer

    tokenizer = transformers.AutoTokenizer.from_pretrained(small_model)
    extra = {
        "ModernBert": {"local_attention": 8},
        "Qwen3": {"num_key_value_heads": 2, "head_dim": 16},
    }
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=80,
        pad_token_id=0,
        **extra.get(kind, {}),
    )
    torch.manual_seed(0)
    encoder = getattr(transformers, f"{kind}Model")(config)
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight *= 8  # or the attention looks at everything alike
    encoder.save_pretrained(folder / "encoder")
    tokenizer.save_pretrained(folder / "encoder")
    SentenceTransformer(str(folder / "encoder"), device="cpu").save(str(folder / "saved"))
    return folder / "saved"


def test_a_lower_limit_cuts_long_texts_and_changes_the_identity(
    minilm_folder: Path, tmp_path: Path
) -> None:
    whole = OnnxEmbedder.export(str(minilm_folder), cache=tmp_path)
    cut = OnnxEmbedder.export(str(minilm_folder), max_tokens=16, cache=tmp_path)

    np.testing.assert_array_equal(cut.embed([LONG]), cut.embed([LONG + "and a car?"]))
    np.testing.assert_array_equal(cut.embed(["a train"]), whole.embed(["a train"]))
    assert cut.identity()["fingerprint"] != whole.identity()["fingerprint"]
    assert len(list((tmp_path / "encoders").iterdir())) == 1, "exported once"


def test_a_model_with_a_long_context_reads_512_tokens_unless_told_otherwise(
    minilm_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(minilm_folder, tmp_path / "long"))
    file = folder / "sentence_bert_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"max_seq_length": 8192}))
    for name in ("tokenizer_config.json", "tokenizer.json"):
        whole = json.loads((folder / name).read_text())
        if "model_max_length" in whole:
            whole["model_max_length"] = 8192
        (folder / name).write_text(json.dumps(whole))

    assert SentenceTransformersEmbedder(str(folder)).identity()["max_seq_length"] == 512
    limits = [
        OnnxEmbedder.export(str(folder), max_tokens=asked, cache=tmp_path).identity()["max_tokens"]
        for asked in (None, 600)
    ]
    assert limits == [512, 600]


def test_exporting_and_distilling_again_give_the_same_fingerprint(
    small_model: Path, static: StaticEmbedder, tmp_path: Path
) -> None:
    made = [OnnxEmbedder.export(str(small_model)).identity() for _ in range(2)]
    assert made[0] == made[1]

    kept = StaticEmbedder.distil(str(small_model), dimensions=16, cache=tmp_path)
    again = StaticEmbedder.distil(str(small_model), dimensions=16, cache=tmp_path)
    assert static.identity() == kept.identity() == again.identity()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_show_in_what_is_distilled(
    small_model: Path, static: StaticEmbedder, threads: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = StaticEmbedder.distil(str(small_model), dimensions=16)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert made.identity() == static.identity()


def test_texts_that_share_words_are_near_in_the_distilled_model(static: StaticEmbedder) -> None:
    paris, japan, code = static.embed(
        ["What is the capital of France", "What is the capital of Japan", "def add return a b"]
    )
    assert paris @ japan > paris @ code


def test_nothing_of_this_machine_is_in_the_graph(onnx: OnnxEmbedder, minilm_folder: Path) -> None:
    graph = onnx.graph.read_bytes()
    assert str(minilm_folder).encode() not in graph
    assert str(Path(__file__).parents[2]).encode() not in graph


@pytest.mark.parametrize("kind", ["onnx", "static"])
def test_serving_needs_neither_torch_nor_transformers(
    kind: str, small_model: Path, tmp_path: Path
) -> None:
    config = EmbedderConfig(kind=kind, model=str(small_model), dimensions=16)
    made = make_embedder(config, [])
    made.save(tmp_path)
    (tmp_path / "identity.json").write_text(json.dumps(made.identity()))
    program = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in HEAVY: raise ImportError(name)\n"
        "HEAVY = {'torch', 'transformers', 'sentence_transformers', 'model2vec', 'onnx',\n"
        "         'sklearn', 'scipy'}\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from litellm_benchrouter.embedders import load_embedder\n"
        "folder = Path(sys.argv[1])\n"
        "embedder = load_embedder(json.loads((folder / 'identity.json').read_text()), folder)\n"
        "print(embedder.embed(['What is the capital of France?']).tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = made.embed(["What is the capital of France?"])
    np.testing.assert_array_equal(np.asarray(json.loads(done.stdout), np.float32), expected)


@pytest.mark.parametrize("kind", ["onnx", "static"])
def test_a_model_that_is_not_there_is_said_in_one_sentence(kind: str, tmp_path: Path) -> None:
    config = EmbedderConfig(kind=kind, model="nobody/no-such-model")
    with pytest.raises(EmbedderError, match=r"nobody/no-such-model.*local folder"):
        make_embedder(config, [], cache=tmp_path)


def test_files_of_another_model_are_refused(
    static: StaticEmbedder, small_model: Path, tmp_path: Path
) -> None:
    StaticEmbedder.distil(str(small_model), dimensions=8).save(tmp_path)
    with pytest.raises(EmbedderError, match="vectors of 8 numbers, the manifest says 16"):
        StaticEmbedder.load(static.identity(), tmp_path)
