"""A place behind a URL, through fsspec: a few plain operations, each with a time limit.

Nothing here knows what a version is. fsspec and what it needs for a kind of store are imported when
the first operation runs, in a thread of its own: a call that hangs holds nobody up.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from litellm_benchrouter.errors import ArtifactError, ConfigError, StoreUnavailableError
from litellm_benchrouter.store.secrets import redacted, resolved, without_password

_SECONDS = 10.0  # for one small object
_SLOWEST = 250_000  # bytes a second: a large object has so much longer
_MOST_HANGING = 8
_BLOCK = 2**23  # bytes that are read at once
_OUR_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))
_FLAT = frozenset(("abfs", "abfss", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a"))

logger = logging.getLogger("litellm_benchrouter")

T = TypeVar("T")


class ConflictError(ArtifactError):
    """An object is not what it was when it was looked at."""


@dataclass(frozen=True)
class ObjectSnapshot:
    """A small object as it was when it was looked at; no content where there was none.

    By its tag the store itself can tell whether it still is the same, where it can.
    """

    name: str
    content: bytes | None
    tag: str | None = None


class Remote:
    """The objects under a URL that fsspec knows, as `s3://bucket/prefix`.

    In the options for its file system `os.environ/NAME` stands for the value of that variable;
    `name` is the URL without a password, for people. Every operation raises
    `StoreUnavailableError` where the store does not answer in time, or refuses.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url.rstrip("/")
        self._options = options
        self.name = without_password(self._url)
        self._secrets: set[str] = set()
        self._place: tuple[Any, str] | None = None
        self._connecting = threading.Lock()
        self._calls = threading.BoundedSemaphore(_MOST_HANGING)

    def read(self, name: str) -> bytes | None:
        """Return a small object, None where there is none: one GET."""
        return self._call(name, content_of)

    def look(self, name: str) -> ObjectSnapshot:
        """Return a small object so that `replace` can tell whether it still is the same."""

        def looked(files: Any, path: str) -> ObjectSnapshot:
            tag = None
            with suppress(FileNotFoundError):  # first: should it change now, the tag is outdated
                tag = files.info(path).get("ETag") if "s3" in _kinds(files) else None
            return ObjectSnapshot(name, content_of(files, path), None if tag is None else str(tag))

        return self._call(name, looked)

    def replace(self, seen: ObjectSnapshot, content: bytes) -> None:
        """Write a small object if it still is what was seen, else raise ConflictError.

        S3 checks that itself, in the same step (a conditional put). Elsewhere it is read again
        right before: of two that write in that moment, the last wins.
        """
        if not self._call(seen.name, lambda files, path: _replaced(files, path, seen, content)):
            raise ConflictError(
                f"{self.name}/{seen.name} was written by another command meanwhile. Look at "
                f"`benchrouter versions` and try again."
            )

    def write(self, name: str, content: bytes) -> None:
        """Write a small object, whatever was there."""
        self._call(name, lambda files, path: _write(files, path, content))

    def upload(self, name: str, source: Path) -> None:
        """Write an object from a file."""

        def uploaded(files: Any, path: str) -> None:
            _make_folder(files, path)
            files.put_file(str(source), path)

        self._call(name, uploaded, source.stat().st_size)

    def download(self, name: str, target: Path, size: int) -> bool:
        """Write an object of `size` bytes into a file; return whether there was one."""

        def downloaded(files: Any, path: str) -> bool:
            with suppress(FileNotFoundError):
                files.get_file(path, str(target))
                return True
            return False

        return self._call(name, downloaded, size)

    def digest(self, name: str, size: int) -> tuple[int, str] | None:
        """Read an object to its end; return its size and SHA-256, None where there is none."""

        def read(files: Any, path: str) -> tuple[int, str] | None:
            digest, n_bytes = hashlib.sha256(), 0
            with suppress(FileNotFoundError), files.open(path, "rb", block_size=_BLOCK) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    n_bytes += len(block)
                return n_bytes, digest.hexdigest()
            return None

        return self._call(name, read, size)

    def there(self, name: str) -> bool:
        """Say whether there is an object of that name."""
        return self._call(name, lambda files, path: bool(files.exists(path)))

    def names(self, under: str) -> list[str]:
        """Return the names of all objects under a folder, as they stand after it."""

        def listed(files: Any, path: str) -> list[str]:
            # Some stores give back their paths with a leading slash, some without.
            start = len(path.strip("/")) + 1
            with _absent():
                return sorted(each.strip("/")[start:] for each in files.find(path))
            return []

        return self._call(under, listed)

    def listing(self, name: str) -> dict[str, tuple[int | None, str]]:
        """Return what a name, a pattern or a folder stands for: size in bytes and tag of each.

        The tag changes when the object does; "" where the store has none, and None for a size that
        it does not say. A web server lists nothing, and a name is one object.
        """

        def listed(files: Any, path: str) -> dict[str, tuple[int | None, str]]:
            start = len(path[: -len(name)].strip("/")) + 1 if name else len(path.strip("/")) + 1
            is_web = bool({"http", "https"} & _kinds(files))
            infos: dict[str, Any] = {}
            with _absent():
                if is_web:
                    infos = {path: files.info(path)}
                elif any(mark in name for mark in "*?["):
                    infos = files.glob(path, detail=True)
                elif (info := files.info(path))["type"] == "file":
                    infos = {path: info}
                else:
                    infos = files.find(path, detail=True)
            return {
                name if is_web else each.strip("/")[start:]: (info.get("size"), _tag(info))
                for each, info in infos.items()
                if info["type"] == "file"
            }

        return self._call(name, listed)

    def written_at(self, name: str) -> float:
        """Return when an object was written, in seconds since 1970; 0 where it is gone."""

        def when(files: Any, path: str) -> float:
            with suppress(FileNotFoundError):
                return float(files.modified(path).timestamp())
            return 0.0

        return self._call(name, when)

    def remove(self, name: str) -> None:
        """Remove an object or a folder; it may be gone already."""

        def removed(files: Any, path: str) -> None:
            with suppress(FileNotFoundError):
                files.rm(path, recursive=True)

        self._call(name, removed)

    def _call(self, name: str, work: Callable[[Any, str], T], size: int = 0) -> T:
        """Run an operation in a thread, and leave it behind when its time is up."""
        seconds = _SECONDS + size / _SLOWEST
        if not self._calls.acquire(blocking=False):
            raise StoreUnavailableError(
                f"{self.name} does not answer: {_MOST_HANGING} calls to it still hang."
            )
        result: Future[T] = Future()

        def run() -> None:
            try:
                files, base = self._connected()
                files.invalidate_cache()  # what others changed must be seen
                result.set_result(work(files, f"{base}/{name}"))
            except BaseException as error:
                result.set_exception(error)
            finally:
                self._calls.release()

        threading.Thread(target=run, name="benchrouter-store", daemon=True).start()
        try:
            error = result.exception(seconds)
        except TimeoutError:
            raise StoreUnavailableError(
                f"{self.name} does not answer: {name} took longer than {seconds:.0f} s."
            ) from None
        if error is None:
            return result.result()
        if isinstance(error, ConfigError) or getattr(error, "errno", None) in _OUR_DISK:
            raise error
        reason = redacted(error, self._secrets)
        raise StoreUnavailableError(
            f"{self.name} cannot be written to ({reason}). Create the bucket or container first."
            if isinstance(error, FileNotFoundError)
            else f"{self.name} does not answer as it should ({reason})."
        ) from None  # the cause may hold what was masked

    def _connected(self) -> tuple[Any, str]:
        with self._connecting:
            self._place = self._place or self._connect()
            return self._place

    def _connect(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        is_s3 = self._url.startswith(("s3://", "s3a://"))
        password = urlsplit(self._url).password or ""
        self._secrets |= {password, unquote(password)} - {""}
        options = resolved(dict(self._options), self._secrets)
        if is_s3:
            # s3fs tries five times by itself; with botocore's tries of each, it takes minutes.
            retries = {"retries": {"total_max_attempts": 1}}
            options["config_kwargs"] = retries | options.get("config_kwargs", {})
        try:
            files, base = url_to_fs(self._url, **options)
        except ImportError as error:
            install = 'pip install "litellm-benchrouter[s3]"'
            wanted = install if is_s3 else redacted(error, self._secrets)
            raise ConfigError(
                f"{self.name} needs a library that is not installed: {wanted}."
            ) from None
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{self.name} cannot be opened ({redacted(error, self._secrets)}); see "
                f"its URL and benchrouter.storage_options."
            ) from None
        loop = getattr(files, "loop", None)
        if loop is not None:
            loop.call_soon_threadsafe(loop.set_exception_handler, _log_quietly)
        return files, str(base).rstrip("/")


def _log_quietly(loop: Any, context: Mapping[str, Any]) -> None:
    """Keep later failures of a call whose first one was reported from standard error."""
    logger.debug("benchrouter: %s", context.get("message"))


@contextmanager
def _absent() -> Iterator[None]:
    """Let pass that something is not there, but not what fsspec calls so of a web server."""
    try:
        yield
    except FileNotFoundError as error:
        cause = error.__cause__
        is_gone = isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in (404, 410)
        if cause is not None and not is_gone:
            raise cause from None


def _tag(info: Mapping[str, Any]) -> str:
    names = ("ETag", "etag", "blob_id", "sha256", "md5", "LastModified", "last_modified", "mtime")
    return next((str(info[name]) for name in names if info.get(name)), "")


def content_of(files: Any, path: str) -> bytes | None:
    """Return an object's content, None where there is none."""
    with suppress(FileNotFoundError):
        return bytes(files.cat_file(path))
    return None


def _write(files: Any, path: str, content: bytes) -> None:
    _make_folder(files, path)
    files.pipe_file(path, content)


def _make_folder(files: Any, path: str) -> None:
    """Make the folder of a path, where a store has folders."""
    if not _FLAT & _kinds(files):
        files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)


def _replaced(files: Any, path: str, seen: ObjectSnapshot, content: bytes) -> bool:
    """Write an object if it still is what was seen; return whether it was."""
    if content_of(files, path) != seen.content:
        return False
    if "s3" not in _kinds(files):
        _write(files, path, content)
        return True
    if (seen.content is None) != (seen.tag is None):  # it came or went between the two looks
        return False
    condition = {"IfNoneMatch": "*"} if seen.content is None else {"IfMatch": seen.tag}
    try:
        files.pipe_file(path, content, **condition)
    except OSError as error:
        response = getattr(error.__cause__, "response", None) or {}
        code = str(response.get("Error", {}).get("Code", ""))  # the S3 server's
        if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
            # A write whose answer was lost is tried again, and then conflicts with itself.
            return content_of(files, path) == content
        if code not in ("NotImplemented", "501"):  # a server that is S3 but for this
            raise
        files.pipe_file(path, content)
    return True


def _kinds(files: Any) -> set[str]:
    return {files.protocol} if isinstance(files.protocol, str) else {*files.protocol}
