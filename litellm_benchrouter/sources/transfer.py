"""Downloads over HTTP: resumed, hashed, patient with a server that is busy."""

from __future__ import annotations

import hashlib
import os
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import httpx

from litellm_benchrouter.errors import ConfigError, FetchError
from litellm_benchrouter.progress import Progress

_ATTEMPTS = 5  # in a row that bring nothing
_LONGEST_WAIT = 300.0  # seconds that a server may ask for, beyond which the command ends
_TIMEOUT = httpx.Timeout(30.0)
_CHUNK = 1 << 20
_PLACES = {
    "HF_ENDPOINT": "https://huggingface.co",
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_RAW_URL": "https://raw.githubusercontent.com",
    "STORAGE_EMULATOR_HOST": "https://storage.googleapis.com",
}
"""Environment variable that names another server -> the usual one."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a set: where it goes, where it is, and what is known of its content."""

    path: str
    url: str
    size: int | None = None
    digest: tuple[str, str] | None = None  # "sha256", "git" or "md5", and hex
    token: str | None = None  # environment variable that may have one for this server
    model: str | None = None
    task: str | None = None


class Transfer:
    """A client of the servers that hold public benchmarks; a context manager.

    It takes proxies from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), and tokens from
    HF_TOKEN and GITHUB_TOKEN.
    """

    def __init__(self) -> None:
        try:
            self._client = httpx.Client(follow_redirects=True, timeout=_TIMEOUT)
        except (ValueError, httpx.InvalidURL) as error:
            raise ConfigError(f"HTTP_PROXY or HTTPS_PROXY: {error}. Correct it.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def json(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        try:
            document = self.get(url, headers).json()
        except ValueError as error:
            raise FetchError(f"{url}: does not answer with JSON ({error}).") from error
        return document if isinstance(document, dict) else {}

    def get(self, url: str, headers: Mapping[str, str]) -> httpx.Response:
        for attempt in range(_ATTEMPTS):
            with self._tried(url, attempt):
                response = self._client.get(url, headers=dict(headers))
                _raise_for(response, url)
                return response
        raise FetchError(f"{url}: does not answer. Try again later.")  # pragma: no cover

    @contextmanager
    def _tried(self, url: str, attempt: int) -> Iterator[None]:
        """Wait after what may pass, the last time raise a FetchError."""
        try:
            yield
        except (httpx.TooManyRedirects, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise FetchError(f"{url}: {error}. Check the address.") from error
        except (_BusyError, httpx.HTTPError) as error:
            pause = error.pause if isinstance(error, _BusyError) else None
            reason = str(error) or type(error).__name__
            if attempt + 1 >= _ATTEMPTS or (pause or 0) > _LONGEST_WAIT:
                later = f"in {pause:.0f} s" if pause else "later"
                raise FetchError(
                    f"{url}: {reason}. Run the command again {later}; what is there stays."
                ) from error
            time.sleep(2.0**attempt if pause is None else pause)

    def download(
        self, name: str, files: Sequence[RemoteFile], folder: Path, progress: Progress
    ) -> None:
        """Download files that are not there as they should be, each to its path below a folder.

        A file is resumed where it was cut off, and gets its name once its size and hash are right.
        Raises FetchError.
        """
        with progress.stage(
            f"Download {name} (KiB)", sum(f.size or 0 for f in files) >> 10
        ) as step:
            for file in files:
                target = folder / file.path
                try:
                    if not is_there(file, target):
                        target.parent.mkdir(parents=True, exist_ok=True)
                        self._download(file, target, step)
                    else:
                        step((file.size or 0) >> 10)
                except OSError as error:
                    raise FetchError(f"{target}: cannot be written ({error.strerror}).") from error

    def _download(self, file: RemoteFile, target: Path, step: Callable[[int], None]) -> None:
        mark = hashlib.sha256(file.url.encode()).hexdigest()[:8]
        partial = target.with_name(f".{target.name}.{mark}.part")
        wrong = ""
        for _ in range(2):  # once more from its beginning where the hash is wrong
            self._complete(file, partial, step)
            wrong = _wrong(file, partial)
            if not wrong:
                partial.replace(target)
                return
            partial.unlink()
        raise FetchError(
            f"{file.url}: {wrong}. Nothing of it was kept; the file was changed on its server, or "
            "on the way."
        )

    def _complete(self, file: RemoteFile, partial: Path, step: Callable[[int], None]) -> None:
        attempt = most = 0
        while True:
            have = partial.stat().st_size if partial.exists() else 0
            if file.size is not None and have == file.size and have:
                return
            if file.size is not None and have > file.size:
                partial.unlink()
                have = 0
            with self._tried(file.url, attempt):
                self._append(file, partial, have, step)
                return
            there = partial.stat().st_size if partial.exists() else 0
            attempt = 0 if there > most else attempt + 1
            most = max(most, there)

    def _append(
        self, file: RemoteFile, partial: Path, have: int, step: Callable[[int], None]
    ) -> None:
        """Download what is lacking, or all where the server gives no parts."""
        headers = {"Accept-Encoding": "identity", **bearer(file.token)}
        headers |= {"Range": f"bytes={have}-"} if have else {}
        with self._client.stream("GET", file.url, headers=headers) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                partial.unlink()
                raise _BusyError(f"has no more than {have} bytes")
            _raise_for(response, file.url)
            is_part = response.status_code == httpx.codes.PARTIAL_CONTENT
            rest = 0
            with partial.open("ab" if is_part else "wb") as out:
                for chunk in response.iter_bytes():
                    out.write(chunk)
                    rest += len(chunk)
                    step(rest >> 10)
                    rest &= 1023
            stated = response.headers.get("content-length")
        size = file.size
        if size is None and stated is not None:
            size = int(stated) + (have if is_part else 0)
        if size is not None and partial.stat().st_size < size:
            raise _BusyError(f"the connection ended after {partial.stat().st_size} of {size} bytes")


class _BusyError(Exception):
    """An answer after which one may ask again."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class MovedError(FetchError):
    """The place is not there (any more)."""


def _raise_for(response: httpx.Response, url: str) -> None:
    """Raise what an answer's status means; nothing where it is well."""
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= 500:
        pause = _seconds(response.headers.get("retry-after", "").strip())
        raise _BusyError(f"answers {status} ({response.reason_phrase})", pause)
    if status in (404, 410):
        raise MovedError(
            f"{url}: is not there ({status}). It may have moved; see the page of the set, and "
            "correct the catalogue with --catalogue."
        )
    if status == 403 or response.headers.get("x-error-code") == "GatedRepo":
        raise FetchError(
            f"{url}: may not be read ({status}). Accept the terms on its page, and set HF_TOKEN "
            "or GITHUB_TOKEN."
        )
    if status == 401:  # which the hub answers for what does not exist, too
        raise MovedError(
            f"{url}: is not there, or not for everybody (401). See the page of the set, and set "
            "HF_TOKEN or GITHUB_TOKEN."
        )
    if status >= 400:
        raise FetchError(f"{url}: answers {status} ({response.reason_phrase}).")


def _seconds(stated: str) -> float | None:
    """Return for how long Retry-After asks to wait: seconds, or a date."""
    if stated.isdigit():
        return float(stated)
    try:
        return max(0.0, parsedate_to_datetime(stated).timestamp() - datetime.now(UTC).timestamp())
    except (TypeError, ValueError):
        return None


def is_there(file: RemoteFile, target: Path) -> bool:
    """Say whether a file is there as it should be."""
    return target.is_file() and not _wrong(file, target)


def _wrong(file: RemoteFile, path: Path) -> str:
    """Say what is wrong with the content of a file, nothing where all that is known agrees."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"has {size} bytes, not {file.size}"
    if file.digest is None or not file.digest[1]:
        return ""
    kind, expected = file.digest
    made = hashlib.new("sha1" if kind == "git" else kind, usedforsecurity=False)
    if kind == "git":
        made.update(f"blob {size}\0".encode())
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            made.update(chunk)
    actual = made.hexdigest()
    return "" if actual == expected else f"has the {kind} hash {actual}, not {expected}"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def unpack(archive: Path) -> None:
    """Unpack a tar archive beside itself; raises FetchError where it is none or leads away."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(archive.parent, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise FetchError(
            f"{archive}: cannot be unpacked ({error}). Remove it and try again."
        ) from error


def server(variable: str) -> str:
    """Return the address in an environment variable, or the usual one."""
    return (os.environ.get(variable) or _PLACES[variable]).rstrip("/")


def bearer(variable: str | None) -> dict[str, str]:
    """Return the header with the token in an environment variable, if there is one."""
    token = os.environ.get(variable or "")
    return {"Authorization": f"Bearer {token}"} if token else {}
