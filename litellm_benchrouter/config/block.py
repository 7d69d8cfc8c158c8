"""The whole `benchrouter:` block, checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, field_validator, model_validator

from litellm_benchrouter.config.base import Block, checked, is_url, mirror_folder
from litellm_benchrouter.config.builder import (
    EmbedderConfig,
    IndexConfig,
    ModelConfig,
    PublishConfig,
    RoutingConfig,
    SourceConfig,
    TaskConfig,
    family_of,
    matches,
)
from litellm_benchrouter.config.proxy import (
    CascadeConfig,
    GroupConfig,
    PolicyField,
    PolicyLimits,
    ServingConfig,
    VirtualModel,
    settle,
)
from litellm_benchrouter.config.traffic import RefreshConfig, TrafficConfig
from litellm_benchrouter.costs.policy import QUALITY, Policy

DIRECTORY = "router_artifacts"


class BenchRouterConfig(Block):
    """The whole block.

    `method` is how requests and named tasks are decided: `guarded` (docs/guarded.md), or `paper`
    for S1 and S3 with the paper's settings, taken literally. `policy` and `request_policies` hold
    for all groups but those that `groups` says otherwise of (docs/policies.md). `mode` is what is
    chosen: one of the deployments of the group that was asked for, or with `groups` also one of the
    groups behind a virtual model (docs/groups.md). `cascade` is how policies `cascade:QUALITY`
    check answers (docs/cascades.md).
    `families` are tasks that are variants of one another, by name or pattern: they are held out
    together (docs/readers.md).
    `fit_samples` is how many samples are held out in turn and learned from at most (docs/large.md).
    `keep_versions` is how many versions stay after a build; the one that serves and the one before
    it always do.
    `artifacts` is a directory, or a URL as `s3://bucket/prefix`: then it is the folder for local
    copies, in `artifacts_cache`, and `artifacts_url` is the URL (docs/object_storage.md).
    `engine` is who does the work of a build or an evaluation (docs/ray.md).
    `storage_options` go to fsspec's file system; `os.environ/NAME` stands for a variable's value.
    """

    artifacts: Path = Path(DIRECTORY)
    artifacts_cache: Path | None = None
    storage_options: dict[str, Any] = Field(default_factory=dict, repr=False)
    keep_versions: int = Field(default=5, ge=1)
    engine: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    method: Literal["guarded", "paper"] = "guarded"
    sources: list[SourceConfig] = Field(default_factory=list)
    models: dict[str, ModelConfig] = Field(default_factory=dict)
    families: dict[str, list[str]] = Field(default_factory=dict)
    embedder: EmbedderConfig = Field(default_factory=EmbedderConfig)
    routing: RoutingConfig = Field(default_factory=RoutingConfig)
    index: IndexConfig = Field(default_factory=IndexConfig)
    fit_samples: int = Field(default=20_000, ge=1_000)
    tasks: dict[str, TaskConfig] = Field(default_factory=dict)
    traffic: TrafficConfig | None = None
    publish: PublishConfig = Field(default_factory=PublishConfig)
    refresh: RefreshConfig = Field(default_factory=RefreshConfig)
    serving: ServingConfig = Field(default_factory=ServingConfig)
    policy: PolicyField = QUALITY
    request_policies: PolicyLimits | None = None
    groups: dict[str, GroupConfig] = Field(default_factory=dict)
    cascade: CascadeConfig = Field(default_factory=CascadeConfig)
    mode: Literal["deployments", "groups"] = "deployments"
    virtual_models: dict[str, VirtualModel] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0)

    _url: str | None = PrivateAttr(None)
    _folder: Path = PrivateAttr(Path())
    _warnings: list[str] = PrivateAttr(default_factory=list)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_url(cls, block: Any, checks: ModelWrapValidatorHandler[Self]) -> Self:
        config = checks(block)
        if isinstance(block, dict) and is_url(block.get("artifacts")):
            config._url = block["artifacts"]
        return config

    @field_validator("storage_options", mode="before")
    @classmethod
    def _options_are_a_block(cls, options: object) -> object:
        if not isinstance(options, dict):
            raise ValueError("this should be a block of keys")  # without the value: it may be a key
        return options

    @field_validator("models")
    @classmethod
    def _aliases_name_one_model(cls, models: dict[str, ModelConfig]) -> dict[str, ModelConfig]:
        owner: dict[str, str] = {}
        for name, model in models.items():
            for alias in model.aliases:
                if alias in models and alias != name:
                    raise ValueError(f"alias {alias!r} of {name!r} is a model of its own")
                if owner.setdefault(alias, name) != name:
                    raise ValueError(f"alias {alias!r} is given to {owner[alias]!r} and {name!r}")
        return models

    @field_validator("families")
    @classmethod
    def _tasks_have_one_family(cls, families: dict[str, list[str]]) -> dict[str, list[str]]:
        owner: dict[str, str] = {}
        for name, patterns in families.items():
            for pattern in patterns:
                if owner.setdefault(pattern, name) != name:
                    raise ValueError(f"{pattern!r} is given to {owner[pattern]!r} and {name!r}")
        return families

    @field_validator("virtual_models")
    @classmethod
    def _no_virtual_in_virtual(cls, virtual: dict[str, VirtualModel]) -> dict[str, VirtualModel]:
        for name, model in virtual.items():
            for group in model.groups:
                if group in virtual:
                    raise ValueError(f"{name!r} lists {group!r}, which is a virtual model itself")
        return virtual

    @model_validator(mode="after")
    def _groups_need_virtual_models(self) -> Self:
        if self.mode == "groups" and not self.virtual_models:
            raise ValueError("mode groups needs virtual_models; name one with its groups")
        if self.mode != "groups" and self.virtual_models:
            raise ValueError("virtual_models need `mode: groups`; set it, or take them out")
        return self

    @property
    def warnings(self) -> list[str]:
        """Sentences about keys that no longer have an effect."""
        return self._warnings

    @property
    def folder(self) -> Path:
        """The folder of the configuration, where relative paths start."""
        return self._folder

    @property
    def artifacts_url(self) -> str | None:
        """Where artifacts are kept, if not in the directory `artifacts`."""
        return self._url

    @property
    def labels_home(self) -> Path:
        """The directory beside which labels are kept: never among copies that may be removed."""
        return self.artifacts if self._url is None else self._folder / DIRECTORY

    @property
    def traffic_labels(self) -> Path | None:
        """The file with labels of own traffic; None where no traffic is configured.

        The default is also that of a task named `traffic`, which comes first.
        """
        if self.traffic is None or (self.traffic.labels is None and "traffic" in self.tasks):
            return None
        return self.traffic.labels or self.labels_home / "labels" / "traffic.jsonl"

    def at(self, artifacts: str, folder: Path) -> Self:
        """Return the configuration with other artifacts; a relative path starts at `folder`.

        Raises
        ------
        ConfigError
            If it is a URL that names no place, or there is no folder for local copies.
        """
        if not is_url(artifacts):
            local, url = folder / artifacts, None
        else:
            url = checked(artifacts)
            cache = self.artifacts_cache and folder / self.artifacts_cache
            local = mirror_folder(url, cache)
        config = self.model_copy(update={"artifacts": local})
        config._url, config._folder = url, folder
        return config

    @property
    def aliases(self) -> dict[str, str]:
        """Other name -> canonical name."""
        return {alias: name for name, model in self.models.items() for alias in model.aliases}

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides about a build besides its inputs, as the manifest records it."""
        of_index = {"index": self.index.model_dump()}
        settings = {"method": self.method, "seed": self.seed, "fit_samples": self.fit_samples}
        return self.routing.model_dump() | settings | of_index

    def family_of(self, tasks: Sequence[str]) -> dict[int, str]:
        """Return the declared family of each task that has one; see `builder.family_of`."""
        return family_of(self.families, tasks)

    def families_without_tasks(self, tasks: Sequence[str]) -> list[str]:
        """Return a warning for each name or pattern in `families` that no task has."""
        return [
            f"benchrouter.families.{name}: {pattern!r} matches no task. Correct or remove it."
            for name, patterns in self.families.items()
            for pattern in patterns
            if not any(matches(task, pattern) for task in tasks)
        ]

    def policy_of(self, group: str, asked: str | None = None) -> tuple[Policy, str]:
        """Return the policy of a request to a group; see `settle`."""
        of_group = self.groups.get(group, _ANY_GROUP)
        policy = self.policy if of_group.policy is None else of_group.policy
        limits = of_group.request_policies
        return settle(policy, self.request_policies if limits is None else limits, asked)


_ANY_GROUP = GroupConfig()
