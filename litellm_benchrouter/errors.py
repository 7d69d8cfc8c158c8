"""Every error that this package raises on purpose, in one tree.

::

    BenchRouterError
    ├── ConfigError      the `benchrouter:` block or a command's options are wrong    exit code 2
    ├── SourceError      a benchmark's files cannot be used                           exit code 2
    ├── TrafficError     prompts of own traffic cannot be read or erased              exit code 1
    ├── LabellingError   answers or labels cannot be obtained or kept                 exit code 1
    ├── FetchError       a public benchmark cannot be downloaded                       exit code 1
    ├── EmbedderError    an embedder is missing, wrong, or failed                     exit code 1
    │   └── EmbedderUnavailableError   a hosted one did not answer in time
    ├── EngineError      the machines that should do the work cannot                  exit code 1
    ├── PublishError     a version has not shown what it must before it serves        exit code 1
    └── ArtifactError    an artifact cannot be written, verified or read              exit code 1
        ├── VersionError an artifact of another schema, or a version that is absent
        └── StoreUnavailableError   a remote store does not answer, or refuses

A message is for the person who runs the command: the place, what is wrong with the value, and what
to do. The command line prints it as it is; a traceback means a bug in this package.
"""

from __future__ import annotations

from typing import ClassVar


class BenchRouterError(Exception):
    """Base of the tree; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1


class ConfigError(BenchRouterError):
    """The configuration or a command's option is wrong."""

    exit_code = 2


class SourceError(BenchRouterError):
    """A benchmark's files cannot be used."""

    exit_code = 2


class TrafficError(BenchRouterError):
    """Prompts of own traffic cannot be read or erased."""


class LabellingError(BenchRouterError):
    """Answers or labels cannot be had, or cannot be kept."""


class FetchError(BenchRouterError):
    """A public benchmark cannot be downloaded now, or is not what it was."""


class EmbedderError(BenchRouterError):
    """An embedder is not installed, does not match the artifact, or failed."""


class EngineError(BenchRouterError):
    """The engine is not installed, its cluster does not answer, or it gave up."""


class PublishError(BenchRouterError):
    """A version has not shown what is required before it may serve."""


class EmbedderUnavailableError(EmbedderError):
    """A hosted embedder did not answer now, and may the next time; the message holds no prompt.

    Attributes
    ----------
    kind : str
        As in `Decision`: `time_limit` or `error`.
    """

    def __init__(self, message: str, kind: str = "error") -> None:
        super().__init__(message)
        self.kind = kind


class ArtifactError(BenchRouterError):
    """An artifact cannot be written, does not verify, or cannot be read."""


class VersionError(ArtifactError):
    """An artifact of an unknown schema version, or a version that is not there."""


class StoreUnavailableError(ArtifactError):
    """A remote store did not answer in time, or refused; the message holds no credentials."""
