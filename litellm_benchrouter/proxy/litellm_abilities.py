"""What deployments can take besides text, as LiteLLM or the operator knows it. For the hook."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from litellm_benchrouter.proxy.litellm_prices import cost_map_entries
from litellm_benchrouter.routing.deployments import id_of
from litellm_benchrouter.serving.capabilities import ABILITIES, INPUT_LIMIT

_SECONDS = 60.0
_KEPT = 10_000  # deployments
# The cost map says what a model supports and leaves out what it does not; of schemas it leaves out
# too many that work.
_LISTED = {ABILITIES[kind] for kind in ("images", "audio", "files", "tools")}
_KEYS = (*ABILITIES.values(), INPUT_LIMIT)


class DeploymentAbilities:
    """Abilities of deployments, looked up once a minute.

    Parameters
    ----------
    stated : mapping of str to mapping
        By benchmark model: what the configuration says.
    """

    def __init__(self, stated: Mapping[str, Mapping[str, Any]]) -> None:
        self._stated = stated
        self._known: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def of(self, deployment: Mapping[str, Any], model: str | None) -> Mapping[str, Any]:
        """Return LiteLLM's names of abilities with what is known of each.

        The deployment's own `model_info` comes first, then the configuration's `models`, then
        LiteLLM's cost map; what nobody says is left out.

        Parameters
        ----------
        deployment : mapping
            As LiteLLM gives it to the hook.
        model : str or None
            Its benchmark model.
        """
        deployment_id = id_of(deployment) or ""
        now = time.monotonic()
        until, known = self._known.get(deployment_id, (0.0, {}))
        if now < until:
            return known
        info = deployment.get("model_info")
        own = info if isinstance(info, Mapping) else {}
        entry = next(cost_map_entries(deployment), None)
        listed = {} if entry is None else dict.fromkeys(_LISTED, False) | dict(entry)
        known = {}
        for source in (listed, self._stated.get(model or "", {}), own):
            known |= {key: source[key] for key in _KEYS if source.get(key) is not None}
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[deployment_id] = (now + _SECONDS, known)
        return known
