"""Versions of an artifact, in a folder or in object storage: read, published, rolled back."""

from __future__ import annotations

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.store.directory import Store


def open_store(config: BenchRouterConfig) -> Store:
    """Return the store of `benchrouter.artifacts`; nothing is read or connected to yet."""
    url = config.artifacts_url
    if url is None:
        return Store(config.artifacts)
    from litellm_benchrouter.store.mirror import Mirror
    from litellm_benchrouter.store.remote import Remote

    return Mirror(config.artifacts, Remote(url, config.storage_options))
