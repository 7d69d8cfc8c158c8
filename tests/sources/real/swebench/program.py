"""Writes reports/, logs/ and stated.json with SWE-bench 4 or 5, without Docker.

Run it in an empty folder. Logs of tests are invented; what SWE-bench makes of them is real.
"""

import json
from collections import defaultdict
from pathlib import Path

from swebench.harness.constants import (
    APPLY_PATCH_FAIL,
    END_TEST_OUTPUT,
    RUN_EVALUATION_LOG_DIR,
    START_TEST_OUTPUT,
)
from swebench.harness.grading import get_eval_report
from swebench.harness.reporting import make_run_report

try:
    from swebench.harness.utils import make_test_spec
except ImportError:
    from swebench.harness.test_spec.test_spec import make_test_spec

REPOS = {"pytest-dev/pytest": "8.2", "psf/requests": "2.4"}
PROBLEMS = [
    {
        "instance_id": f"{repo.replace('/', '__')}-{i}",
        "repo": repo,
        "version": version,
        "problem_statement": f"Function {i} of {repo} returns {i}, {i + 1} is expected.",
        "base_commit": "0" * 40,
        "image": "none",
        "patch": "",
        "test_patch": "--- a/test_a.py\n+++ b/test_a.py\n@@ -0,0 +1 @@\n+pass\n",
        "FAIL_TO_PASS": json.dumps(["test_a.py::test_new"]),
        "PASS_TO_PASS": json.dumps(["test_a.py::test_old"]),
        "log_parser": "parse_log_pytest",
        "eval_type": "pass_and_fail",
        "eval_script": "pytest -rA test_a.py",
    }
    for repo, version in REPOS.items()
    for i in range(1, 5)
]
PASSED = "PASSED test_a.py::test_new\nPASSED test_a.py::test_old"
FIXED = f"{START_TEST_OUTPUT}\n{PASSED}\n{END_TEST_OUTPUT}"
BROKEN = FIXED.replace("PASSED test_a.py::test_old", "FAILED test_a.py::test_old - boom")
LOGS = {
    "acme/ant-7b": [FIXED, BROKEN, FIXED, APPLY_PATCH_FAIL, FIXED, FIXED, "", None],
    "bee-2": [BROKEN, FIXED, BROKEN, BROKEN, FIXED, FIXED, FIXED, "Failed to launch chrome"],
}
# An empty log is of a patch that was not run, and None an empty patch.

stated = []
for model, logs in LOGS.items():
    predictions = {}
    for problem, log in zip(PROBLEMS, logs, strict=True):
        name = problem["instance_id"]
        patch = None if log is None else "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-1\n+2\n"
        prediction = {"instance_id": name, "model_name_or_path": model, "model_patch": patch}
        predictions[name] = prediction
        if log:
            folder = RUN_EVALUATION_LOG_DIR / "nightly" / model.replace("/", "__") / name
            folder.mkdir(parents=True)
            (folder / "test_output.txt").write_text(log)
            report = get_eval_report(
                make_test_spec(problem), prediction, folder / "test_output.txt", True
            )
            (folder / "report.json").write_text(json.dumps(report))
    file = Path(make_run_report(predictions, PROBLEMS, "nightly"))
    report = json.loads(file.read_text())
    Path("reports").mkdir(exist_ok=True)
    file.rename(Path("reports") / file.name)
    infra = set(report.get("infra_failure_ids", []))
    for folder, listed in (
        ("reports", set(report["submitted_ids"]) - infra),
        ("logs", set(report["completed_ids"]) - infra),
    ):
        resolved = defaultdict(list)
        for problem in PROBLEMS:
            if problem["instance_id"] in listed:
                is_resolved = problem["instance_id"] in report["resolved_ids"]
                resolved[problem["repo"]].append(is_resolved)
        for repo, all_of_repo in resolved.items():
            stated.append([folder, repo, model, sum(all_of_repo) / len(all_of_repo)])
for folder in ("reports", "logs"):
    rows = [{k: p[k] for k in ("instance_id", "repo", "problem_statement")} for p in PROBLEMS]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    Path(folder, "SWE-bench_invented.jsonl").write_text(lines)
for file in Path("logs").rglob("test_output.txt"):
    file.unlink()
Path("stated.json").write_text(json.dumps(stated))
asked = [problem["problem_statement"] for problem in PROBLEMS]
Path("prompts.json").write_text(json.dumps(dict.fromkeys(("reports", "logs"), asked)))
