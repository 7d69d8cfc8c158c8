"""`benchrouter fetch`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from litellm_benchrouter.cli.fetched import block_of, doubtful_aliases, write_record
from litellm_benchrouter.cli.options import (
    console,
    json_option,
    print_json,
    print_warnings,
)
from litellm_benchrouter.config import BLOCK, load_config
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.progress import bars
from litellm_benchrouter.routing.deployments import (
    ModelNames,
    likely_names,
    no_text_deployment,
    text_deployments,
    wildcards,
)
from litellm_benchrouter.sources import read
from litellm_benchrouter.sources.catalogue import CatalogueEntry, WantedModels, read_catalogue
from litellm_benchrouter.sources.fetch import Selection, select
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.transfer import Transfer, is_there, sha256_of, unpack

_LARGE = 200 << 20  # bytes from which on the command asks


@click.command("fetch")
@click.argument("name", required=False)
@click.option("--list", "list_only", is_flag=True, help="Print what there is.")
@click.option("--models", metavar="NAMES", help="Only these, with commas between; * in a name.")
@click.option("--tasks", metavar="NAMES", help="Only these, likewise.")
@click.option(
    "--for",
    "for_config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CONFIG",
    help="Only the models of this proxy's `model_list`, by name and alias.",
)
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A YAML file with further sets; docs/fetch.md has its form.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to put it; default: benchmarks/NAME.",
)
@click.option("--yes", is_flag=True, help="Do not ask about size and licence.")
@json_option
def fetch_command(
    name: str | None,
    list_only: bool,
    models: str | None,
    tasks: str | None,
    for_config: Path | None,
    catalogue: Path | None,
    folder: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Download the public benchmark NAME, and print the YAML that reads it.

    What is there already is checked and not downloaded again; what was cut off is resumed.
    """
    sets = read_catalogue(catalogue)
    if list_only or name is None:
        _show_sets(list(sets.values()), as_json)
        return
    if name not in sets:
        raise ConfigError(f'fetch: no set is named "{name}". There are {listed(list(sets), 20)}.')
    entry = sets[name]
    if models is not None and for_config is not None:
        raise ConfigError("--models and --for both say which models. Use one of them.")
    proxy = {} if for_config is None else read_proxy_yaml(for_config)
    wanted = _wanted(models, for_config, proxy)
    folder = folder or Path("benchmarks") / name
    out = console()
    with Transfer() as transfer:
        selection = select(transfer, entry, wanted, _names(tasks))
        warnings = _warnings(entry, selection, wanted)
        if patterns := wildcards(proxy):
            warnings.append(f"Patterns name no model and are left aside: {', '.join(patterns)}.")
        lacking = [f for f in selection.files if not is_there(f, folder / f.path)]
        if not as_json:
            out.print(f"{entry.title}\n{entry.url or ''}".rstrip())
            out.print(f"Licence: {_licence(entry, selection) or 'not stated'}")
            out.print(f"{len(selection.files):,} files, {_size(selection.size)}; "
                      f"{len(selection.files) - len(lacking):,} are there")  # fmt: skip
            print_warnings(out, warnings)
        _ask(entry, selection, sum(f.size or 0 for f in lacking), yes=yes or not lacking)
        with bars() as progress:
            transfer.download(name, lacking, folder, progress)
    hashes = {f.path: sha256_of(folder / f.path) for f in selection.files}
    for file in selection.files if entry.unpack else ():
        unpack(folder / file.path)
    if wanted is not None and not selection.matched and not entry.files_tell_models:
        there = read(entry.kind, folder / entry.path, entry.options).results["model"]
        selection = selection.of_models(sorted(map(str, there.unique())), wanted)
        late = _missing(entry, selection)
        warnings += late
        if not as_json:
            print_warnings(out, late)
    write_record(folder, entry, selection, hashes)
    block = block_of(entry, selection, folder, for_config, wanted)
    doubts = doubtful_aliases(selection, wanted)
    warnings += doubts
    if not as_json:
        print_warnings(out, doubts)
    if as_json:
        print_json(
            {
                "name": name,
                "licence": _licence(entry, selection),
                "folder": str(folder),
                "files": [
                    {"path": f.path, "bytes": (folder / f.path).stat().st_size,
                     "sha256": hashes[f.path], "model": f.model, "task": f.task}
                    for f in selection.files
                ],
                "models": dict(selection.matched),
                "without_results": list(selection.without_results),
                "warnings": warnings,
                "yaml": block,
            }
        )  # fmt: skip
    else:
        out.print(f"\n{folder} has all of it. In the proxy's YAML:\n\n{block}")


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"fetch: {text!r} names nothing. Put commas between names.")
    return names


def _wanted(
    models: str | None, for_config: Path | None, proxy: Mapping[str, Any]
) -> WantedModels | None:
    """Return the models asked for, with all names under which results may know them."""
    if for_config is None:
        names = _names(models)
        return None if names is None else WantedModels({name: [name] for name in names})
    config = load_config(for_config) if BLOCK in proxy else None
    aliases = config.aliases if config is not None else {}
    deployments = text_deployments(proxy)
    if not deployments:
        raise ConfigError(f"{for_config}: {no_text_deployment(proxy)}")
    names_of = ModelNames(aliases, frozenset())
    wanted: dict[str, list[str]] = {}
    for deployment in deployments:
        said = names_of.said(deployment)
        names = likely_names(deployment)
        canonical = {aliases.get(name, name) for name in names}
        others = [alias for alias, model in aliases.items() if model in canonical]
        wanted[said] = list(dict.fromkeys([*names, *sorted(canonical), *others]))
    return WantedModels(wanted)


def _warnings(
    entry: CatalogueEntry, selection: Selection, wanted: WantedModels | None
) -> list[str]:
    warnings = ([entry.note] if entry.note else []) + _missing(entry, selection)
    if wanted is not None and not entry.files_tell_models:
        warnings.append(f"All models of {entry.name} are in the same files.")
    hub, ours = selection.licence, entry.licence
    if hub and ours and hub.lower() != ours.lower():
        warnings.append(f"The catalogue says that the licence is {ours}, the hub says {hub}.")
    return warnings


def _missing(entry: CatalogueEntry, selection: Selection) -> list[str]:
    missing = listed(list(selection.without_results))
    return (
        [f"No public results in {entry.name} of: {missing}."] if selection.without_results else []
    )


def _licence(entry: CatalogueEntry, selection: Selection) -> str | None:
    return selection.licence or entry.licence


def _ask(entry: CatalogueEntry, selection: Selection, size: int, *, yes: bool) -> None:
    """Ask about what is large, and what may not be used by everybody."""
    licence = _licence(entry, selection)
    why = []
    if size > _LARGE or selection.size is None:
        why.append(f"{_size(size if selection.size is not None else None)} to download")
    if not entry.model_copy(update={"licence": licence}).is_open:
        why.append(f"licence {licence}" if licence else "no licence is stated")
    if yes or not why:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{entry.name}: {', '.join(why)}. Add --yes if you agree.")
    click.confirm(f"{', '.join(why).capitalize()}. Download?", abort=True)


def _size(size: int | None) -> str:
    if size is None:
        return "of unknown size"
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _show_sets(sets: Sequence[CatalogueEntry], as_json: bool) -> None:
    if as_json:
        print_json([entry.model_dump(exclude_none=True) for entry in sets])
        return

    out = console()
    for entry in sets:
        out.print(f"{entry.name}: {entry.title}", style="bold")
        facts = [
            f"kind {entry.kind}",
            *(_counted(getattr(entry, name), name) for name in ("models", "tasks", "samples")),
            f"{entry.size_mb:,.0f} MB" if entry.size_mb is not None else "",
            f"licence {entry.licence}" if entry.licence else "no licence known",
            f"changed {entry.changed}" if entry.changed else "",
        ]
        for line in ("; ".join(filter(None, facts)), entry.note, entry.url):
            if line:
                out.print(f"    {line}")


def _counted(value: int | list[str] | None, name: str) -> str:
    number = len(value) if isinstance(value, list) else value
    return "" if number is None else f"{number:,} {name}"
