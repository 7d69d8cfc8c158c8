"""Which files a public benchmark has: on a hub, on GitHub, or in a bucket."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from urllib.parse import quote

from litellm_benchrouter.errors import ConfigError, FetchError
from litellm_benchrouter.sources.catalogue import CatalogueEntry, WantedModels, wanted_task
from litellm_benchrouter.sources.frames import listed as shown
from litellm_benchrouter.sources.transfer import (
    MovedError,
    RemoteFile,
    Transfer,
    bearer,
    server,
)


@dataclass(frozen=True)
class Selection:
    """What is to be downloaded of a set.

    Attributes
    ----------
    files : sequence of RemoteFile
    matched : mapping of str to str
        Published name of a model -> the operator's, where models were asked for.
    without_results : sequence of str
        Models that were asked for and have no files.
    licence : str or None
        As the hub states it.
    """

    files: Sequence[RemoteFile]
    matched: Mapping[str, str] = field(default_factory=dict)
    without_results: Sequence[str] = ()
    licence: str | None = None

    @property
    def size(self) -> int | None:
        """Bytes of all files, None where one is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def of_models(self, published: Sequence[str], wanted: WantedModels) -> Selection:
        """Return the same, with what was found out of its models."""
        matched = {name: asked for name in published if (asked := wanted.of(name)) is not None}
        found = {asked for name in published for asked in wanted.all_of(name)}
        missing = [asked for asked in wanted.names if asked not in found]
        return replace(self, matched=matched, without_results=missing)


def select(
    transfer: Transfer,
    entry: CatalogueEntry,
    models: WantedModels | None,
    tasks: Sequence[str] | None,
) -> Selection:
    """List a set's files and choose those of some models and tasks (None: of all).

    Raises ConfigError where nothing is left, FetchError where the server does not list them.
    """
    if entry.hub is not None and "{model}" in entry.hub:
        return _select_repositories(transfer, entry, models, tasks)
    listed, licence = _listed(transfer, entry)
    return _chosen(entry, listed, licence, models, tasks)


def _select_repositories(
    transfer: Transfer,
    entry: CatalogueEntry,
    models: WantedModels | None,
    tasks: Sequence[str] | None,
) -> Selection:
    """Select from a set with a repository a model, whose names have to be given."""
    if models is None:
        raise ConfigError(
            f"{entry.name}: has a repository for each model. Name some with --models "
            "OWNER/NAME, or give --for config.yaml."
        )
    files: list[RemoteFile] = []
    matched: dict[str, str] = {}
    missing, licence = [], None
    for asked, names in models.names.items():
        published = [n for n in names if n.count("/") == 1 and "*" not in n]
        for name in published:
            folder = name.replace("/", "__")
            hub = (entry.hub or "").replace("{model}", folder)
            try:
                listed, licence = _listed(transfer, entry.model_copy(update={"hub": hub}))
            except MovedError:
                continue
            chosen = _chosen(entry, listed, licence, None, tasks)
            files += [replace(f, path=f"{folder}/{f.path}", model=name) for f in chosen.files]
            matched[name] = asked
            break
        else:
            missing.append(asked)
    if not files:
        raise ConfigError(
            f"{entry.name}: has no results of {', '.join(missing)}. A model is found by its "
            "name on the hub, OWNER/NAME."
        )
    return Selection(files, matched, missing, licence)


def _chosen(
    entry: CatalogueEntry,
    listed: Sequence[RemoteFile],
    licence: str | None,
    models: WantedModels | None,
    tasks: Sequence[str] | None,
) -> Selection:
    groups = entry.matches(file.path for file in listed)
    files = [
        replace(file, model=groups[file.path].get("model"), task=groups[file.path].get("task"))
        for file in listed
        if file.path in groups
    ]
    if not files:
        raise FetchError(
            f"{entry.name}: {_place(entry)} has no file named {shown(entry.files)}. The set may "
            "have moved; see its page, and correct the catalogue with --catalogue."
        )
    if tasks is not None:
        there = sorted({file.task for file in files if file.task})
        if not there:
            raise ConfigError(
                f"{entry.name}: holds all tasks in the same files. Leave out --tasks."
            )
        files = [f for f in files if f.task is None or wanted_task(f.task, tasks)]
        if not any(file.task for file in files):
            raise ConfigError(f"{entry.name}: has none of these tasks; it has {shown(there)}.")
    if models is None:
        return Selection(files, licence=licence)
    there = sorted({file.model for file in files if file.model})
    if not there and isinstance(entry.models, list):
        there = sorted(entry.models)
    selection = Selection(files, licence=licence)
    if not there:  # the names are inside the files
        return selection
    selection = selection.of_models(there, models)
    if not selection.matched:
        missing = shown(list(selection.without_results))
        raise ConfigError(f"{entry.name}: has no results of {missing}; it has {shown(there)}.")
    of_these = [f for f in files if f.model is None or f.model in selection.matched]
    return replace(selection, files=of_these)


def _listed(transfer: Transfer, entry: CatalogueEntry) -> tuple[list[RemoteFile], str | None]:
    """Return all files below the prefix, with paths relative to it, and the licence."""
    licence = None
    try:
        if entry.hub is not None:
            files, licence = _hub(transfer, entry.hub, entry.revision)
        elif entry.github is not None:
            files = _github(transfer, entry.github, entry.revision)
        else:
            files = list(_bucket(transfer, str(entry.bucket), entry.prefix))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FetchError(
            f"{entry.name}: the server of {_place(entry)} does not list files as it should "
            f"({type(error).__name__}: {error}). Check the address, and a proxy on the way."
        ) from error
    prefix = f"{entry.prefix.strip('/')}/" if entry.prefix else ""
    below = []
    for file in files:
        if file.path.startswith(prefix):
            path = _safe(file.path.removeprefix(prefix), entry.name)
            stated = entry.sha256.get(path)
            digest = ("sha256", stated.lower()) if stated else file.digest
            below.append(replace(file, path=path, digest=digest))
    return below, licence


def _hub(transfer: Transfer, repo: str, revision: str) -> tuple[list[RemoteFile], str | None]:
    home, headers = server("HF_ENDPOINT"), bearer("HF_TOKEN")
    about = transfer.json(f"{home}/api/datasets/{repo}/revision/{revision}", headers)
    commit = about.get("sha") or revision
    card = about.get("cardData") or {}
    url: str | None = f"{home}/api/datasets/{repo}/tree/{commit}?recursive=true"
    files = []
    while url is not None:
        response = transfer.get(url, headers)
        for each in response.json():
            if each.get("type") == "file":
                path, sha = each["path"], (each.get("lfs") or {}).get("oid")
                digest = ("sha256", sha) if sha else ("git", each.get("oid") or "")
                at = f"{home}/datasets/{repo}/resolve/{commit}/{quote(path)}"
                files.append(RemoteFile(path, at, each.get("size"), digest, "HF_TOKEN"))
        url = response.links.get("next", {}).get("url")
    licence = card.get("license")
    return files, ", ".join(licence) if isinstance(licence, list) else licence


def _github(transfer: Transfer, repo: str, revision: str) -> list[RemoteFile]:
    headers = bearer("GITHUB_TOKEN")
    url = f"{server('GITHUB_API_URL')}/repos/{repo}/git/trees/{revision}?recursive=1"
    tree = transfer.json(url, headers)
    if tree.get("truncated"):
        raise FetchError(f"{url}: lists not all files. Name a smaller repository.")
    raw = f"{server('GITHUB_RAW_URL')}/{repo}/{revision}"
    return [
        RemoteFile(e["path"], f"{raw}/{quote(e['path'])}", e.get("size"), ("git", e["sha"]))
        for e in tree.get("tree", [])
        if e.get("type") == "blob"
    ]


def _bucket(transfer: Transfer, bucket: str, prefix: str) -> Iterator[RemoteFile]:
    home, token = server("STORAGE_EMULATOR_HOST"), ""
    while True:
        page = f"&pageToken={quote(token)}" if token else ""
        url = f"{home}/storage/v1/b/{bucket}/o?prefix={quote(prefix, safe='')}{page}"
        listed = transfer.json(url, {})
        for each in listed.get("items", []):
            md5 = base64.b64decode(each.get("md5Hash") or "").hex()
            at = f"{home}/{bucket}/{quote(each['name'])}"
            digest = ("md5", md5) if md5 else None
            yield RemoteFile(each["name"], at, int(each.get("size", 0)), digest)
        token = listed.get("nextPageToken", "")
        if not token:
            return


def _place(entry: CatalogueEntry) -> str:
    return entry.hub or entry.github or str(entry.bucket)


def _safe(path: str, name: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in parts[0][1:2]:
        raise FetchError(f"{name}: its server lists {path!r}, which leads out of the folder.")
    if not path.isprintable():
        raise FetchError(f"{name}: its server lists {path!r}, which is no name of a file.")
    return path
