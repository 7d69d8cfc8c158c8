"""EvalPlus runs invented solutions of invented problems, from a file and from a folder."""

import contextlib
import json
import os
import sys
from pathlib import Path

problems = {
    "double": ("Return twice x.", "return 2 * x", [[1], [2]], [[0], [-3]]),
    "halve": ("Return half of x, rounded down.", "return x // 2", [[4], [5]], [[-1], [0]]),
    "plain": ("Return x.", "return x", [[1]], [[7]]),
}
# All right, right but for an extra test, wrong.
solutions = {
    "double": ["return 2 * x", "return 2 * abs(x)"],
    "halve": ["return x // 2", "return int(x / 2)"],
    "plain": ["return 1 if x == 1 else 0", "raise ValueError"],
}
sets = {"humaneval": ("HumanEval", "HumanEvalPlus-v0.1.10"), "mbpp": ("Mbpp", "MbppPlus-v0.2.0")}


def put(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


for data_set, (start, name) in sets.items():
    rows = [
        {"task_id": f"{start}/{900 + i}", "entry_point": function, "contract": "", "atol": 0,
         "prompt": f'def {function}(x):\n    """{asked}"""\n', "assertion": "",
         "canonical_solution": f"    {body}\n", "base_input": base, "plus_input": plus}
        for i, (function, (asked, body, base, plus)) in enumerate(problems.items())
    ]  # fmt: skip
    put(Path(f"{name}.jsonl"), rows)
    os.environ[f"{data_set.upper()}_OVERRIDE_PATH"] = str(Path(f"{name}.jsonl").resolve())
os.environ["XDG_CACHE_HOME"] = str(Path("cache").resolve())
Path("cache").mkdir()

from evalplus.evaluate import main  # it reads the environment

codes = [
    (900 + i, n, f"def {function}(x):\n    {body}\n")
    for i, function in enumerate(problems)
    for n, body in enumerate(solutions[function])
]
in_file = Path("humaneval/acme--ant_openai_temp_0.8.jsonl")
in_file.parent.mkdir()
put(in_file, [{"task_id": f"HumanEval/{i}", "solution": code} for i, _, code in codes])
in_folder = Path("mbpp/acme--ant_temp_0.8")
for i, n, code in codes:
    path = in_folder / f"Mbpp_{i}" / f"{n}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
for data_set, samples in (("humaneval", in_file), ("mbpp", in_folder)):
    sys.argv = ["evalplus.evaluate", "--dataset", data_set, "--samples", str(samples)]
    with Path(f"shown_{data_set}.txt").open("w") as shown, contextlib.redirect_stdout(shown):
        main()
