"""`paper` is the paper in numpy; nothing else may creep in."""

import ast
import sys
from pathlib import Path

from litellm_benchrouter import paper


def test_the_core_imports_numpy_and_the_standard_library_only():
    allowed = {"numpy", "litellm_benchrouter", *sys.stdlib_module_names}
    for path in Path(paper.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in allowed, f"{path.name} imports {name}"
                if name.startswith("litellm_benchrouter"):
                    assert name.startswith("litellm_benchrouter.paper"), f"{path.name}: {name}"
