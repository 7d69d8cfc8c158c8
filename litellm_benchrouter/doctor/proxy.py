"""The proxy's YAML: do the hook's ranks count, are the deployments known?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.proxy import redis
from litellm_benchrouter.proxy.running import MAX_FALLBACKS
from litellm_benchrouter.routing.deployments import NAME, TEXT_MODES, ModelNames
from litellm_benchrouter.serving.capabilities import effort_in
from litellm_benchrouter.views import Finding, fail, listed, ok, warn

_UNASKED_STRATEGY = "usage-based-routing"
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
_HOLD_ORDER = ("litellm_params", "model_info")


def part(container: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a section of a block; empty where it is none."""
    section = container.get(key)
    return section if isinstance(section, Mapping) else {}


def callbacks(proxy: Mapping[str, Any]) -> list[str]:
    """Return the names in `litellm_settings.callbacks`, also where it is no list."""
    named = part(proxy, "litellm_settings").get("callbacks")
    named = named if isinstance(named, list) else [named]
    return [name for name in named if isinstance(name, str)]


def check_settings(config: BenchRouterConfig, proxy: Mapping[str, Any]) -> Iterator[Finding]:
    """Check what of the proxy's settings stands in the plugin's way."""
    yield _strategy(proxy)
    yield _retries(proxy)
    yield from _pins_and_tags(config, proxy)
    yield from _mode(config)
    if config.serving.stickiness == "session":
        yield _memory(config, proxy)
    if "prometheus" in callbacks(proxy):
        yield _multiprocess()


def _strategy(proxy: Mapping[str, Any]) -> Finding:
    strategy = part(proxy, "router_settings").get("routing_strategy") or "simple-shuffle"
    if strategy == _UNASKED_STRATEGY:
        return fail(
            "routing_strategy",
            f"LiteLLM asks no plugin with {strategy}",
            f"say router_settings: {{ routing_strategy: {_UNASKED_STRATEGY}-v2 }}, or leave it out",
        )
    return ok("routing_strategy", f"{strategy} asks the plugin")


def _retries(proxy: Mapping[str, Any]) -> Finding:
    key = "router_settings.num_retries"
    retries = part(proxy, "router_settings").get("num_retries")
    if retries is None:
        key = "litellm_settings.num_retries"
        retries = part(proxy, "litellm_settings").get("num_retries")
    if retries == 0:
        return warn(
            "retries",
            f"{key} is 0, so a request whose model fails does not go to the next best",
            f"set {key} to 1 or more",
        )
    shown = "LiteLLM's default" if retries is None else retries
    return ok("retries", f"{shown}; each goes to the next best model")


def _pins_and_tags(config: BenchRouterConfig, proxy: Mapping[str, Any]) -> Iterator[Finding]:
    settings = part(proxy, "router_settings")
    checks = settings.get("optional_pre_call_checks")
    if isinstance(checks, list) and "deployment_affinity" in checks:
        yield warn(
            "affinity",
            "deployment_affinity keeps a key with the deployment of its first request, whatever "
            "it asks next",
            "take it out of router_settings.optional_pre_call_checks; serving.stickiness: session "
            "keeps single conversations",
        )
    if settings.get("enable_tag_filtering") and config.tasks:
        yield warn(
            "tags",
            "with tag filtering LiteLLM takes a tag task:NAME for a filter, and answers 401 where "
            "no deployment has it",
            "name tasks by the header x-benchrouter-task or by metadata.task",
        )


def _mode(config: BenchRouterConfig) -> Iterator[Finding]:
    serving = config.serving
    if serving.mode == "shadow":
        yield warn(
            "mode", "shadow: decisions are counted and change nothing", "say mode: active to route"
        )
    elif serving.mode == "canary":
        percent = serving.canary_percent
        yield warn("mode", f"canary: {percent:g} % are routed", "say mode: active to route all")


def _memory(config: BenchRouterConfig, proxy: Mapping[str, Any]) -> Finding:
    """Say where conversations are remembered, and whether the proxy's Redis answers."""
    if config.serving.memory == "worker":
        return ok("memory", "each worker remembers its own conversations, by serving.memory")
    place = redis.of_yaml(proxy)
    if place is None:
        return ok("memory", "each worker remembers its own conversations: the proxy has no Redis")
    trouble = redis.trouble_with(place[0])
    if trouble:
        return warn(
            "memory",
            f"Redis does not answer within 5 ms ({trouble}), so each worker remembers its own "
            "conversations",
            "look at litellm_settings.cache_params, router_settings.redis_* or REDIS_URL",
        )
    return ok("memory", "workers share their conversations in Redis, which answers")


def _multiprocess() -> Finding:
    named = os.environ.get(_MULTIPROCESS)
    workers = os.environ.get("NUM_WORKERS", "1")
    if named is None:
        what = f"with several workers their counts meet in a folder; {_MULTIPROCESS} names none"
        if workers.isdecimal() and int(workers) > 1:
            remedy = f"set {_MULTIPROCESS} to an empty folder of this proxy's own"
            return warn("workers", what, remedy)
        return ok("workers", f"{what}, so LiteLLM takes one that all proxies here share")
    folder = Path(named)
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK, effective_ids=True)):
        return fail(
            "workers",
            f"{_MULTIPROCESS} names {folder}, which is no folder that can be written",
            "make it, and give it to the proxy's user",
        )
    return ok("workers", f"counts meet in {folder}")


def entries(proxy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the entries of `model_list`, without what is no block."""
    listed = proxy.get("model_list")
    return [e for e in listed if isinstance(e, Mapping)] if isinstance(listed, list) else []


def by_group(proxy: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the deployments that answer text, by the name that clients ask for."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries(proxy):
        if part(entry, "model_info").get("mode") in TEXT_MODES:
            groups.setdefault(str(entry.get("model_name")), []).append(entry)
    return groups


def offers(
    config: BenchRouterConfig, proxy: Mapping[str, Any], models: Sequence[str]
) -> dict[str, list[str]]:
    """Return the benchmark models that each group offers, sorted; groups without any are left."""
    names = ModelNames(config.aliases, frozenset(models))
    ranked = {
        group: sorted({m for m in map(names.of, deployments) if m is not None})
        for group, deployments in by_group(proxy).items()
    }
    return {group: some for group, some in ranked.items() if some}


def check_deployments(
    config: BenchRouterConfig, proxy: Mapping[str, Any], models: Sequence[str]
) -> Iterator[Finding]:
    """Check each group, the models that nobody serves, and names that the configuration says."""
    groups, offered = by_group(proxy), offers(config, proxy, models)
    yield from _groups(config, groups, offered, models)
    if not offered and not any("*" in group for group in groups):
        if part(proxy, "general_settings").get("store_model_in_db"):
            yield warn(
                "groups",
                "no deployment of the YAML is a model of the benchmark; those in LiteLLM's "
                "database are not seen from here",
                f"look at /v1/model/info for model_info.{NAME}",
            )
        else:
            yield fail(
                "groups",
                "no deployment is a model of the benchmark, so nothing is routed",
                f"say which model each is in model_info.{NAME}; the benchmark has "
                f"{listed(sorted(models))}",
            )
    unserved = sorted(set(models) - {model for of_group in offered.values() for model in of_group})
    if unserved:
        said = f"{len(unserved)} of {len(models)} models of the benchmark have no deployment"
        yield ok("models", f"{said}: {listed(unserved)}")
    else:
        yield ok("models", f"each of the benchmark's {len(models)} models has a deployment")
    unheard = sorted(set(config.groups) - {str(e.get("model_name")) for e in entries(proxy)})
    if unheard:
        yield warn(
            "policies",
            f"benchrouter.groups names {listed(unheard)}, which model_list does not",
            "name the model_name that clients ask for",
        )
    yield from _virtual(config, proxy, groups)


def _groups(
    config: BenchRouterConfig,
    groups: Mapping[str, list[Mapping[str, Any]]],
    offered: Mapping[str, list[str]],
    models: Sequence[str],
) -> Iterator[Finding]:
    names = ModelNames(config.aliases, frozenset(models))
    in_virtual = {name for each in config.virtual_models.values() for name in each.groups}
    for group, deployments in groups.items():
        unknown = [entry for entry in deployments if names.of(entry) is None]
        said = [entry for entry in unknown if NAME in part(entry, "model_info")]
        ranked = offered.get(group, [])
        # A group that names no model of the benchmark is meant to be left alone.
        for entry in unknown if ranked else said:
            yield warn(
                "deployments",
                f"{names.said(entry)} of group {group} is no model of the benchmark"
                + ("; it ranks last" if ranked else ""),
                _suggestion(names.said(entry), models),
            )
        if "*" in group and not ranked:
            words = "is routed where the benchmark knows the model that is asked for"
            yield ok("groups", f"{group}, a wildcard, {words}")
        elif not ranked:
            if not said:
                yield ok("groups", f"{group} is left alone: no model of it is in the benchmark")
        elif len(ranked) == 1 and group not in in_virtual and "*" not in in_virtual:
            yield warn(
                "groups",
                f"{group} has one model that the benchmark knows, {ranked[0]}: nothing to choose",
                "put deployments of other models into the group",
            )
        else:
            yield ok("groups", f"{group} offers {listed(ranked)}")
        yield from _efforts(group, deployments, names)
        ordered = (part(entry, key).get("order") for entry in deployments for key in _HOLD_ORDER)
        if ranked and any(order is not None for order in ordered):
            yield warn(
                "order",
                f"the `order` of {group} comes before the ranks, which count within its levels",
                "take it out to let the ranks decide among all its models",
            )


def _efforts(
    group: str, deployments: Sequence[Mapping[str, Any]], names: ModelNames
) -> Iterator[Finding]:
    """Find models that are asked for several reasoning efforts under one name."""
    efforts: dict[str, set[str]] = {}
    for entry in deployments:
        model = names.of(entry)
        if model is not None:
            effort = effort_in(part(entry, "litellm_params")) or "none named"
            efforts.setdefault(model, set()).add(effort)
    for model, named in efforts.items():
        if len(named) > 1:
            yield warn(
                "efforts",
                f"{model} of group {group} is asked for several efforts ({listed(sorted(named))}), "
                "which rank alike",
                f"measure each effort, and say which it is in model_info.{NAME}",
            )


def _virtual(
    config: BenchRouterConfig,
    proxy: Mapping[str, Any],
    groups: Mapping[str, list[Mapping[str, Any]]],
) -> Iterator[Finding]:
    most = part(proxy, "router_settings").get("max_fallbacks")
    reach = 1 + (most if isinstance(most, int) else MAX_FALLBACKS)
    for name, virtual in config.virtual_models.items():
        if name in groups:
            yield warn(
                "virtual_models",
                f"{name} is a model group as well, which is not asked while the plugin is on",
                "rename one, or keep the group for when the plugin is off",
            )
        named = virtual.groups if isinstance(virtual.groups, list) else []
        missing = [group for group in named if group not in groups]
        if missing:
            yield warn(
                "virtual_models",
                f"{name} names {listed(missing)}, which model_list does not",
                "name model groups of the proxy",
            )
        elif len(named) > reach:
            yield warn(
                "virtual_models",
                f"{name} names {len(named)} groups, of which LiteLLM tries {reach}",
                f"set router_settings.max_fallbacks to {len(named) - 1}",
            )
        else:
            yield ok("virtual_models", f"{name} stands for {listed(named) or '*'}")


def _suggestion(name: str, models: Sequence[str]) -> str:
    tail = name.rpartition("/")[2]
    near = get_close_matches(tail, models, n=1)
    example = near[0] if near else "NAME"
    return f"say model_info: {{ {NAME}: {example} }}, or add an alias under benchrouter.models"
