"""Runs that are killed, interrupted, or meet each other: what was paid for is kept."""

from __future__ import annotations

import json
import signal

import tiny
from filelock import FileLock
from proxy.harness import eventually
from proxy.upstream import saying, slow

from labelling.conftest import Lab

CONCURRENCY = 4


def hold(lab: Lab, *models: str) -> None:
    """Let these models keep their callers waiting until the provider is reset."""
    for model in models:
        lab.upstream.tell(model, slow(3600))


def test_a_run_that_is_killed_keeps_every_answer_and_the_next_asks_only_the_rest(lab: Lab):
    lab.upstream.tell("dog", slow(3600), after=3)
    with lab.start("--concurrency", CONCURRENCY, "--retries", 0) as process:
        eventually(lambda: lab.upstream.models.count("dog") == 3 + CONCURRENCY, within=60)
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    first = lab.asked
    kept = set(lab.cells("answer"))
    # What is not there was on its way when the process ended.
    assert len(first) - len(kept) == CONCURRENCY
    assert len(kept) >= 3 * len(tiny.MODELS)
    with lab.journal.open("a") as file:
        file.write('{"prompt_sha256": "12')  # killed while it wrote

    lab.upstream.reset()
    document = lab.asking().document
    assert {entry["labels"] for entry in document["models"]} == {10}
    assert not kept & set(lab.asked)
    assert len(lab.asked) == len(set(lab.asked)) == 40 - len(kept)
    assert any("left unfinished by a run that was killed" in w for w in document["warnings"])
    assert len(lab.events("answer")) == 40  # and every line of the journal is whole
    lab.upstream.reset()
    assert lab.asking().document["warnings"] == []
    assert lab.upstream.requests == []


WAITING = "Waiting for the calls under way, which are paid for; Ctrl-C drops them.\n"


def test_an_interrupted_run_waits_for_what_is_paid_and_ends(lab: Lab):
    hold(lab, "dog", "cat")
    with lab.start("--concurrency", CONCURRENCY) as process:
        eventually(lambda: sum(m in ("dog", "cat") for m in lab.upstream.models) == 4, within=60)
        asked = lab.asked
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline() == WAITING
        lab.upstream.release()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    document = json.loads(out)
    assert document["stopped"] == "interrupted"
    assert lab.asked == asked
    assert sorted(lab.cells("answer")) == sorted(asked)


def test_interrupted_twice_it_ends_at_once_with_what_was_kept(lab: Lab):
    hold(lab, "dog")
    with lab.start("--concurrency", CONCURRENCY) as process:
        eventually(lambda: lab.upstream.models.count("dog") == 4, within=60)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert process.stderr.readline() == WAITING
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert json.loads(out)["stopped"] == "interrupted"
    assert sorted(lab.cells("answer")) == sorted(c for c in lab.asked if c[1] != "dog")


def test_two_runs_on_one_task_do_not_meet(lab: Lab):
    lab.journal.parent.mkdir(parents=True)
    with FileLock(lab.journal.with_name(".new.jsonl.lock")):
        ended = lab.asking()
    assert ended.code == 1
    assert f"another run is writing to {lab.journal}; wait for it to end" in ended.err
    assert lab.upstream.requests == []


def test_an_answer_is_on_the_disk_before_it_is_scored(lab: Lab):
    """A pattern that runs for ever costs no answer."""
    lab.upstream.tell("ant", saying("a" * 40 + "!"))
    endless = r"regex:^(a+)+$"
    with lab.start("--metric", endless, "--models", "ant", "--n", 1) as process:
        eventually(lambda: lab.journal.exists() and lab.journal.read_text().strip(), within=60)
        process.kill()
        process.communicate()
    lab.upstream.reset()
    document = lab.asking("--metric", "contains", "--models", "ant", "--n", 1).document
    assert document["rescored"] == 1
    assert lab.upstream.requests == []
