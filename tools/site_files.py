"""The files of the documentation's site, in the places that they have in the repository.

So links between them are written once, and work here as they do where the repository is read.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PATTERNS = (
    "*.md",
    "LICENSE",
    "config.example.yaml",
    "docs/**/*",
    "benchmarks/README.md",
    "benchmarks/*.png",
    "router_artifacts/README.md",
    "deploy/**/*",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the repository's files in place of those of docs/ alone."""
    root = Path(config.config_file_path).parent
    theme = [file for file in files if file.src_dir != config.docs_dir]
    found = sorted({path for pattern in PATTERNS for path in root.glob(pattern) if path.is_file()})
    ours = [
        File.generated(config, path.relative_to(root).as_posix(), abs_src_path=str(path))
        for path in found
    ]
    return Files([*theme, *ours])
