"""`benchrouter init`: a `benchrouter:` block that can be built, from the proxy's own YAML."""

from __future__ import annotations

import csv
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
import yaml

from litellm_benchrouter.cli.options import config_option, required_config
from litellm_benchrouter.config import BLOCK, load_config
from litellm_benchrouter.config.base import is_url, read_proxy_yaml
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.labelling.starter import RESULTS
from litellm_benchrouter.routing.deployments import (
    ModelNames,
    likely_names,
    no_text_deployment,
    short_name,
    text_deployments,
    wildcards,
)
from litellm_benchrouter.sources import READERS, read
from litellm_benchrouter.sources.catalogue import WantedModels, read_catalogue
from litellm_benchrouter.sources.merge import SourceJudgement, merge
from litellm_benchrouter.store.copies import here
from litellm_benchrouter.upstream import running_deployments

EXAMPLE = Path("benchmarks/example.csv")
"""Invented results that config.example.yaml names, to try a build with."""

_HANDLER = "litellm_benchrouter.hook.handler"
_CALLBACKS = f'callbacks: ["{_HANDLER}"]'
_TOP_LEVEL = re.compile(r"^(?=\S)(?!#)", re.MULTILINE)


@click.command("init")
@config_option
@click.option(
    "--source",
    metavar="FILE",
    help="Your benchmark results, a path or a URL; default: those that `benchrouter label "
    "--starter` will write.",
)
@click.option("--kind", type=click.Choice(sorted(READERS)), default="table", show_default=True,
              help="The format of --source.")  # fmt: skip
@click.option("--proxy", "running", metavar="URL",
              help="Ask a running proxy for its models, those of its database too, with the key in "
                   "LITELLM_MASTER_KEY. Without --config the block is printed.")  # fmt: skip
@click.option("--print", "print_only", is_flag=True, help="Print the block, write nothing.")
@click.option("--force", is_flag=True, help="Replace the block that is there.")
def init_command(
    config_path: Path | None,
    source: str | None,
    kind: str,
    running: str | None,
    print_only: bool,
    force: bool,
) -> None:
    """Write the `benchrouter:` block and the callback into a proxy's YAML."""
    print_only = print_only or (running is not None and config_path is None)
    if running is not None and config_path is None:
        path, proxy = Path("proxy.yaml").absolute(), {}
    else:
        path = required_config(config_path).resolve()
        proxy = read_proxy_yaml(path)
    if running is not None:
        proxy["model_list"] = running_deployments(running)
    if BLOCK in proxy and not force and not print_only:
        if _write_example_of(path):
            return
        raise ConfigError(f"{path}: has a `{BLOCK}:` block. Use --force to replace it.")
    deployments = text_deployments(proxy)
    if not deployments:
        raise ConfigError(f"{running or path}: {no_text_deployment(proxy)}")
    if source is not None:
        benchmark = _models_of(source, kind)
        place = source if is_url(source) else os.path.relpath(Path(source).resolve(), path.parent)
        block = _block(place, kind, _likely(deployments, benchmark))
    else:
        block = _block(RESULTS.as_posix(), "table", {}, _STARTER)
    if print_only:
        click.echo(f"litellm_settings:\n  {_CALLBACKS}\n\n{block}", nl=False)
        return
    text = _with_block(path, path.read_text(encoding="utf-8"), block)
    _replace(path, text)
    click.echo(f"Wrote the `{BLOCK}:` block and the callback to {path}.")
    patterns = wildcards(proxy)
    if patterns:
        click.echo(
            f"Patterns name no model, and what is behind them is not asked: {', '.join(patterns)}."
        )
    if source is None:
        _show_ways(deployments, path)
    click.echo(f"Now run: benchrouter build --config {shlex.quote(str(path))}")


def _replace(path: Path, text: str) -> None:
    """Write a file in one step; mode and owner stay, as the proxy reads it and it may hold keys."""
    partial, before = path.with_name(f".{path.name}.new"), path.stat()
    try:
        partial.touch(0o600)
        partial.write_text(text, encoding="utf-8")
        with suppress(PermissionError):
            os.chown(partial, before.st_uid, before.st_gid)
        partial.chmod(before.st_mode)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}). Make its folder writable, or paste "
            "what --print shows."
        ) from error


_STARTER = (
    "Written by `benchrouter label --starter --limit-usd 5`, which asks your own models.",
    "Public results of them: `benchrouter fetch --list` (docs/fetch.md). Sources merge.",
)


def _show_ways(deployments: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Say which public sets name the chat models, and the two ways to results."""
    sets = read_catalogue(None).values()
    wanted = WantedModels({short_name(d): likely_names(d) for d in deployments})
    listing = {each.name: each.models for each in sets if isinstance(each.models, list)}
    others = ", ".join(each.name for each in sets if each.name not in listing)
    for model in sorted(wanted.names):
        one = WantedModels({model: wanted.names[model]})
        named = [name for name, models in listing.items() if any(map(one.of, models))]
        where = f"in {', '.join(named)}" if named else "in no set that lists its models here"
        click.echo(f"Public results of {model}: {where}.")
    quoted = shlex.quote(str(path))
    click.echo(
        f"The models of {others} are looked up when one is fetched.\n"
        f"Get results, in one way or in both:\n"
        f"  benchrouter label --starter --limit-usd 5 --config {quoted}\n"
        f"  benchrouter fetch NAME --for {quoted}"
    )


def _models_of(source: str, kind: str) -> list[str]:
    with here(source) as path:
        table = read(kind, path, {})
    try:
        merge([(table, SourceJudgement(path.name))], aliases={}, facts={})
    except SourceError as error:  # which the block can mend
        click.echo(f"A build refuses it as it is: {error}", err=True)
    return sorted(map(str, table.scores["model"].unique()))


def _likely(deployments: Sequence[Mapping[str, Any]], models: Sequence[str]) -> dict[str, str]:
    """Say which deployments the benchmark knows; return what others may be, for the operator."""
    names = ModelNames({}, frozenset(models))
    unknown = [deployment for deployment in deployments if names.of(deployment) is None]
    count = len(deployments) - len(unknown)
    click.echo(f"The benchmark has {len(models)} models and knows {count} of the "
               f"{len(deployments)} deployments that answer text.")  # fmt: skip
    guesses = {}
    for deployment in unknown:
        name, near = names.said(deployment), get_close_matches(short_name(deployment), models, n=1)
        guesses[name] = near[0] if near else "NAME-IN-THE-BENCHMARK"
    return guesses


def _block(place: str, kind: str, likely: Mapping[str, str], comments: Sequence[str] = ()) -> str:
    """Return the text of the block; guesses are comments, for only a person can know."""
    lines = [f"{BLOCK}:", "  sources: # benchmark results, sample by sample (docs/readers.md)"]
    lines += [f"    # {comment}" for comment in comments]
    lines += [f"    - kind: {kind}", f"      path: {yaml.safe_dump(place).splitlines()[0]}"]
    if likely:
        lines.append("  # The benchmark does not know these deployments; they rank last. If one is")
        lines.append("  # a model of it by another name, say so:")
        lines.append("  # models:")
        lines += [f"  #   {model}: {{ aliases: [{name}] }}" for name, model in likely.items()]
    lines += ["  embedder:", "    kind: lexical # no download; docs/embedders.md has better ones"]
    lines.append("  serving:")
    lines.append("    mode: active # or shadow: decide, record, and route nothing")
    return "\n".join(lines) + "\n"


def _with_block(path: Path, text: str, block: str) -> str:
    """Return the text of a YAML file with the block and the callback; the rest is as it was."""
    before = yaml.safe_load(text) or {}
    if BLOCK in before:
        text = _without(text, BLOCK)
    settings = before.get("litellm_settings")
    callbacks = settings.get("callbacks") if isinstance(settings, dict) else None
    if callbacks is None and not settings:
        text = _without(text, "litellm_settings") if "litellm_settings" in before else text
        text = f"{text.rstrip()}\n\nlitellm_settings:\n  {_CALLBACKS}\n"
    elif callbacks is None:
        text = re.sub(
            r"^(litellm_settings:[^\n]*\n(?:[ \t]*(?:#[^\n]*)?\n)*)([ \t]+)",
            lambda match: f"{match[1]}{match[2]}{_CALLBACKS}\n{match[2]}",
            text,
            count=1,
            flags=re.MULTILINE,
        )
    elif _HANDLER not in callbacks:
        for form in (
            r"(^[ \t]+callbacks:[ \t]*\[)()",
            r"(^[ \t]+callbacks:[ \t]*\n)([ \t]*)(?=- )",
        ):
            added = f'"{_HANDLER}", ' if form.endswith("()") else f'- "{_HANDLER}"\n'
            text = re.sub(form, rf"\1\2{added}\2", text, count=1, flags=re.MULTILINE)
    text = f"{text.rstrip()}\n\n{block}"
    try:
        after = yaml.safe_load(text)
    except yaml.YAMLError as error:  # as where the file is JSON, or ends in "..."
        raise ConfigError(
            f"{path}: nothing can be added at its end, as it is not written in lines of keys. Add "
            "what `benchrouter init --print` shows yourself."
        ) from error
    after_settings = after["litellm_settings"]
    named = after_settings.get("callbacks") if isinstance(after_settings, dict) else None
    others = {key: value for key, value in after.items() if key not in (BLOCK, "litellm_settings")}
    as_before = {k: v for k, v in before.items() if k not in (BLOCK, "litellm_settings")}
    if others != as_before or _HANDLER not in (named if isinstance(named, list) else [named]):
        raise ConfigError(
            f"{path}: litellm_settings.callbacks is not written in a way that can be added to. "
            f'Add "{_HANDLER}" to it yourself, then run this again.'
        )
    return text


def _without(text: str, key: str) -> str:
    """Return a YAML text without one of its top-level keys."""
    start = re.search(rf"^{key}:", text, re.MULTILINE)
    if start is None:
        return text
    following = _TOP_LEVEL.search(text, start.end())
    return text[: start.start()] + (text[following.start() :] if following else "")


def _write_example_of(path: Path) -> bool:
    """Write the invented results that a configuration names, where they are not there."""
    named = [source.path for source in load_config(path).sources]
    file = path.parent / EXAMPLE
    if file not in named or file.exists():
        return False
    _write_example(file, sorted(set(map(short_name, text_deployments(read_proxy_yaml(path))))))
    click.echo(f"Now run: benchrouter build --config {shlex.quote(str(path))}")
    return True


def _write_example(file: Path, models: Sequence[str]) -> None:
    """Write invented results of some models, unless the file is there."""
    if file.exists():
        return
    subjects = {
        "arithmetic": "What is {0} times {1}?",
        "code": "Write a function that returns the last {0} of {1} items.",
        "summaries": "Summarize the minutes of meeting {0} in {1} words.",
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["task", "prompt", *models])
        for number, (task, words) in enumerate(subjects.items()):
            for row in range(20):
                labels = [
                    int((7 * row + 3 * model) % 10 < (9 if model % 3 == number else 6))
                    for model in range(len(models))
                ]
                rows.writerow([task, words.format(row + 3, 5 * row + 11), *labels])
    click.echo(f"Wrote invented results to {file}: put your own in their place.")
