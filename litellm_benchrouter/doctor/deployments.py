"""Do the proxy's deployments and the benchmark's models know each other?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig, VirtualModel
from litellm_benchrouter.serving.ranking import NAME, ModelNames
from litellm_benchrouter.views import Finding, fail, ok, shortened, warn

_TEXT_MODES = (None, "chat", "completion", "responses")
_MAX_FALLBACKS = 5  # LiteLLM's ROUTER_MAX_FALLBACKS
_HOLD_ORDER = ("litellm_params", "model_info")


def entries(proxy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the entries of `model_list` that are any."""
    found = proxy.get("model_list")
    return [e for e in found if isinstance(e, Mapping)] if isinstance(found, list) else []


def by_group(proxy: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the deployments that answer text, by the name that clients ask for."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries(proxy):
        if _part(entry, "model_info").get("mode") in _TEXT_MODES:
            groups.setdefault(str(entry.get("model_name")), []).append(entry)
    return groups


def offers(
    config: BenchRouterConfig, proxy: Mapping[str, Any], models: Sequence[str]
) -> dict[str, list[str]]:
    """Return the benchmark models that each group offers, sorted; groups without any are left."""
    names = ModelNames(config.aliases, frozenset(models))
    found = {
        group: sorted({m for m in map(names.of, deployments) if m is not None})
        for group, deployments in by_group(proxy).items()
    }
    return {group: known for group, known in found.items() if known}


def check(
    config: BenchRouterConfig, proxy: Mapping[str, Any], models: Sequence[str]
) -> Iterator[Finding]:
    """Check each group, the models that nobody serves, and names that the configuration says."""
    groups, offered = by_group(proxy), offers(config, proxy, models)
    yield from _groups(config, groups, offered, models)
    if not offered:
        if _part(proxy, "general_settings").get("store_model_in_db"):
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
                f"{shortened(sorted(models))}",
            )
    unserved = sorted(set(models) - {model for known in offered.values() for model in known})
    if unserved:
        said = f"{len(unserved)} of {len(models)} models of the benchmark have no deployment"
        yield ok("models", f"{said}: {shortened(unserved)}")
    else:
        yield ok("models", f"each of the benchmark's {len(models)} models has a deployment")
    unheard = sorted(set(config.groups) - {str(e.get("model_name")) for e in entries(proxy)})
    if unheard:
        yield warn(
            "policies",
            f"benchrouter.groups names {shortened(unheard)}, which model_list does not",
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
        said = [entry for entry in unknown if NAME in _part(entry, "model_info")]
        known = offered.get(group, [])
        # A group that names no model of the benchmark is meant to be left alone.
        for entry in unknown if known else said:
            yield warn(
                "deployments",
                f"{names.said(entry)} of group {group} is no model of the benchmark"
                + ("; it ranks last" if known else ""),
                _suggestion(names.said(entry), models),
            )
        if not known:
            if not said:
                yield ok("groups", f"{group} is left alone: no model of it is in the benchmark")
        elif len(known) == 1 and group not in in_virtual and "*" not in in_virtual:
            yield warn(
                "groups",
                f"{group} has one model that the benchmark knows, {known[0]}: nothing to choose",
                "put deployments of other models into the group",
            )
        else:
            yield ok("groups", f"{group} offers {shortened(known)}")
        ordered = (_part(entry, key).get("order") for entry in deployments for key in _HOLD_ORDER)
        if known and any(order is not None for order in ordered):
            yield warn(
                "order",
                f"the `order` of {group} is replaced by the ranks wherever a decision is taken",
                "take it out, or take the group out of routing",
            )


def _virtual(
    config: BenchRouterConfig,
    proxy: Mapping[str, Any],
    groups: Mapping[str, list[Mapping[str, Any]]],
) -> Iterator[Finding]:
    most = _part(proxy, "router_settings").get("max_fallbacks")
    reach = 1 + (most if isinstance(most, int) else _MAX_FALLBACKS)
    for name, virtual in config.virtual_models.items():
        missing = [group for group in _listed_groups(virtual) if group not in groups]
        if missing:
            yield warn(
                "virtual_models",
                f"{name} names {shortened(missing)}, which model_list does not",
                "name model groups of the proxy",
            )
        elif len(_listed_groups(virtual)) > reach:
            yield warn(
                "virtual_models",
                f"{name} names {len(virtual.groups)} groups, of which LiteLLM tries {reach}",
                f"set router_settings.max_fallbacks to {len(virtual.groups) - 1}",
            )
        else:
            yield ok(
                "virtual_models", f"{name} stands for {shortened(_listed_groups(virtual)) or '*'}"
            )


def _listed_groups(virtual: VirtualModel) -> list[str]:
    return virtual.groups if isinstance(virtual.groups, list) else []


def _suggestion(name: str, models: Sequence[str]) -> str:
    tail = name.rpartition("/")[2]
    near = get_close_matches(tail, models, n=1)
    example = near[0] if near else "NAME"
    return f"say model_info: {{ {NAME}: {example} }}, or add an alias under benchrouter.models"


def _part(container: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = container.get(key)
    return found if isinstance(found, Mapping) else {}
