"""Print what each embedder costs per prompt: one run, one thread, real prompts, ratios.

    python benchmarks/embedders.py [--data FOLDER] [--model NAME_OR_FOLDER]...

Every prompt goes to every embedder in turn, so what else the machine does falls on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer
from support.encoders import development_model
from support.timing import elapsed_ms
from threadpoolctl import threadpool_limits

from litellm_benchrouter.embedders import (
    LexicalEmbedder,
    OnnxEmbedder,
    SentenceTransformersEmbedder,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "openllm_v2"
LONG = 30_000


@click.command(help=__doc__)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=DATA,
    show_default=True,
    help="Folder with samples.parquet, whose `prompt` column is read.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="A sentence-transformers model; the default is the one that the tests use, if installed.",
)
@click.option("--prompts", default=300, show_default=True, help="How many, evenly spaced.")
def main(data: Path, models: Sequence[str], prompts: int) -> None:
    console = Console()
    texts = pl.read_parquet(data / "samples.parquet")["prompt"].drop_nulls().to_list()
    chosen = [texts[i] for i in np.linspace(0, len(texts) - 1, prompts).astype(int)]
    long = ("\n".join(texts) * (1 + LONG // sum(map(len, texts))))[:LONG]

    with console.status(f"fitting on {len(texts)} prompts"):
        lexical = LexicalEmbedder.fit(texts)
        reference = scikit_learn().fit(texts)
    subjects: dict[str, Callable[[str], object]] = {
        "lexical": lambda text: lexical.embed([text]),
        "the same by scikit-learn": lambda text: reference.transform([text]),
    }
    carried = development_model()
    if not models and carried is not None:
        models = [carried]
    named = {"all-MiniLM-L6-v2" if model == carried else model: model for model in models}
    for name, model in named.items():
        with console.status(f"loading and exporting {name}"):
            encoders = {
                "torch": SentenceTransformersEmbedder(model),
                "onnx": OnnxEmbedder.export(model, chosen),
            }
        for kind, encoder in encoders.items():
            subjects[f"{name} ({kind})"] = lambda text, encoder=encoder: encoder.embed([text])

    milliseconds = {name: np.empty(len(chosen)) for name in subjects}
    milliseconds_long = {name: np.empty(9) for name in subjects}
    with threadpool_limits(limits=1):  # after torch and the BLAS have been loaded
        for row, text in enumerate(track(chosen, "embedding", console=console, transient=True)):
            for name, embed in subjects.items():
                milliseconds[name][row] = elapsed_ms(partial(embed, text))
        for name, embed in subjects.items():
            for row in range(9):
                milliseconds_long[name][row] = elapsed_ms(partial(embed, long))
    characters = np.median([len(text) for text in chosen])
    console.print(
        f"{len(chosen)} prompts of {data.name}, {characters:.0f} characters at the median; "
        f"long: {LONG:,} characters; one thread"
    )
    console.print(table(milliseconds, milliseconds_long))


def scikit_learn() -> Pipeline:
    """TF-IDF and SVD as scikit-learn does it, for what the lexical embedder's own path is worth."""
    return make_pipeline(
        TfidfVectorizer(
            token_pattern=r"\w+|[^\w\s]",
            ngram_range=(1, 2),
            sublinear_tf=True,
            max_features=32_768,
            dtype=np.float32,
        ),
        TruncatedSVD(256, random_state=0),
        Normalizer(),
    )


def table(
    milliseconds: dict[str, NDArray[np.float64]], milliseconds_long: dict[str, NDArray[np.float64]]
) -> Table:
    """Slowest last; the ratio is that of the medians."""
    found = Table("embedder")
    for column in ("p50 ms", "p99 ms", "long p50 ms", "p50 ratio"):
        found.add_column(column, justify="right")
    median = {name: float(np.median(times)) for name, times in milliseconds.items()}
    for name in sorted(median, key=median.__getitem__):
        found.add_row(
            name,
            f"{median[name]:.3f}",
            f"{np.percentile(milliseconds[name], 99):.3f}",
            f"{np.median(milliseconds_long[name]):.3f}",
            f"{median[name] / min(median.values()):.1f}",
        )
    return found


if __name__ == "__main__":
    main()
