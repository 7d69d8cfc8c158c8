"""Where kept prompts are: files of JSON lines, in a folder or in object storage.

Every process writes parts of its own, named `<when>-<process>-<random>`: nothing is locked. A part
is begun anew before it is large, as the oldest go as a whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig, CollectConfig, is_url
from litellm_benchrouter.sources.json_files import json_object
from litellm_benchrouter.store.remote import Remote

PART = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}-[0-9a-f]{8}\.jsonl")
"""Name of a part; its first letters say when it was begun, in UTC."""

_DATE, _TIME = "%Y%m%d", "%Y%m%dT%H%M%S%f"
_PARTS = 50  # that `most` prompts fill: what goes at once is a fiftieth
_DAY = 86_400.0
_TRIES = 20  # to erase while other processes do

Row = Mapping[str, Any]


class Folder:
    """A folder of files that their owner alone may read, made when the first is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def names(self, under: str = "") -> list[str]:
        """Return the names of the files."""
        with contextlib.suppress(FileNotFoundError):
            return [entry.name for entry in os.scandir(self._path / under) if entry.is_file()]
        return []

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None where there is none."""
        with contextlib.suppress(FileNotFoundError):
            return (self._path / name).read_bytes()
        return None

    def append(self, name: str, content: bytes) -> None:
        """Add to a file, all or nothing."""
        file = self._open(name, os.O_APPEND)
        try:
            size = os.fstat(file).st_size
            try:
                _write(file, content)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file, size)
                    if not size:  # or a disk that stays full gets an empty file a second
                        self.remove(name)
                raise
        finally:
            os.close(file)

    def write(self, name: str, content: bytes) -> None:
        """Replace a file, in one step."""
        beside = f".{name}.{secrets.token_hex(4)}"
        file = self._open(beside, os.O_EXCL)
        try:
            try:
                _write(file, content)
            finally:
                os.close(file)
            (self._path / beside).replace(self._path / name)
        except OSError:
            self.remove(beside)
            raise

    def rename(self, name: str, other: str) -> None:
        """Give a file another name; who appends under the old one begins a new file."""
        (self._path / name).rename(self._path / other)

    def remove(self, name: str) -> None:
        """Remove a file; it may be gone already."""
        (self._path / name).unlink(missing_ok=True)

    def _open(self, name: str, flags: int) -> int:
        flags |= os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        try:
            file = os.open(self._path / name, flags, 0o600)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.mkdir(mode=0o700, exist_ok=True)
            file = os.open(self._path / name, flags, 0o600)
        with contextlib.suppress(OSError):
            # What root rewrites, the proxy's user is to read: it counts all parts as it writes.
            folder = self._path.stat()
            os.fchown(file, folder.st_uid, folder.st_gid)
        return file


def _write(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


class PromptStore:
    """Rows of kept prompts, of which the oldest go.

    One thread of a process writes; several processes may. What cannot be written or read raises
    OSError, or StoreUnavailableError of a remote place.
    """

    def __init__(
        self,
        config: CollectConfig,
        options: Mapping[str, Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files: Folder | Remote
        self.is_remote = is_url(config.to)
        self._files = Remote(config.to, options) if self.is_remote else Folder(Path(config.to))
        self._most, self._seconds, self._clock = config.most, config.keep_days * _DAY, clock
        self._longest = max(1, config.most // _PARTS)
        self._lines: dict[str, int] = {}  # of parts that were counted
        self._part, self._process = "", secrets.token_hex(4)

    @property
    def name(self) -> str:
        """The place, for people."""
        return self._files.name

    @property
    def holds_parts(self) -> bool:
        """Whether any prompts were kept here."""
        return bool(self._parts())

    def add(self, lines: Sequence[bytes]) -> int:
        """Write some of the lines, the first, and return how many."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        is_full = self._lines.get(self._part, 0) >= self._longest
        if self.is_remote or is_full or self._part[:8] != f"{now:{_DATE}}":
            self.prune(room=self._longest)
            self._part = self._fresh(f"{now:{_TIME}}")
        already = self._lines.get(self._part, 0)
        taken = lines[: self._longest - already]
        content = b"".join(taken)
        try:
            if isinstance(self._files, Folder):
                self._files.append(self._part, content)
            else:
                self._files.write(self._part, content)
        except BaseException:
            self._part = ""  # whatever is there of it, the next goes elsewhere
            raise
        self._lines[self._part] = already + len(taken)
        return len(taken)

    def prune(self, room: int = 0) -> None:
        """Remove what is too old, and the oldest of too many where so many more are to come."""
        oldest = self._clock() - self._seconds
        first_day = f"{datetime.fromtimestamp(oldest, UTC):{_DATE}}"
        for part in self._parts():
            if part[:8] < first_day:
                self._files.remove(part)
            elif part[:8] == first_day:
                with contextlib.suppress(FileNotFoundError):  # another process has it
                    self._erase(part, lambda row: _time(row) < oldest)
        left, lines, growing = self._most - room, {}, set[str]()
        for part in reversed(self._parts()):
            process = part.split("-")[1]
            may_grow = not self.is_remote and process not in growing
            growing.add(process)  # only the newest part of a process grows
            n = self._lines.get(part)
            if n is None or (may_grow and process != self._process):
                n = (self._files.read(part) or b"").count(b"\n")
            left -= n
            if left < 0:
                self._files.remove(part)
            else:
                lines[part] = n
        self._lines = lines

    def rows(self) -> Iterator[Row]:
        """Yield the rows, the newest part first, none that is too old; what is damaged is not."""
        oldest = self._clock() - self._seconds
        for part in reversed(self._parts()):
            for line in (self._files.read(part) or b"").splitlines():
                row = json_object(line)
                if row is not None and _time(row) >= oldest:
                    yield row

    def erase(self, is_meant: Callable[[Row], bool]) -> int:
        """Remove rows, and return how many; so does every line that is no row any more."""
        for name in self._files.names(""):
            if name.startswith(".") and PART.match(name[1:]):  # of a command that was killed
                self._files.remove(name)
        n = 0
        for tries_left in reversed(range(_TRIES)):
            try:
                for part in self._parts():
                    n += self._erase(part, is_meant)
                break
            except FileNotFoundError:  # another process removed a part, or gave it another name
                if not tries_left:
                    raise
        return n

    def _erase(self, part: str, is_meant: Callable[[Row], bool]) -> int:
        content = self._there(part)
        if not split_rows(content, is_meant)[1]:
            return 0
        if isinstance(self._files, Folder):
            # What is appended from now on goes to a new file under the old name.
            moved = self._fresh(part.partition("-")[0])
            self._files.rename(part, moved)
            part, content = moved, self._there(moved)
        rest, gone = split_rows(content, is_meant)
        if rest:
            self._files.write(part, b"".join(rest))
        else:
            self._files.remove(part)
        return sum(row is not None for row in gone)

    def _there(self, part: str) -> bytes:
        content = self._files.read(part)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), part)
        return content

    def _parts(self) -> list[str]:
        return sorted(name for name in self._files.names("") if PART.fullmatch(name))

    def _fresh(self, when: str) -> str:
        return f"{when}-{self._process}-{secrets.token_hex(4)}.jsonl"


def store_of(config: BenchRouterConfig) -> PromptStore | None:
    """Return the store that the configuration names, by `collect` or as a folder under `from`."""
    traffic = config.traffic
    collect = None if traffic is None else traffic.collect
    origin = None if traffic is None else traffic.origin
    if collect is not None:
        return PromptStore(collect, config.storage_options)
    if origin is None or not (is_url(origin) or Path(origin).is_dir()):
        return None
    left_behind = CollectConfig(to=origin, most=10**9, keep_days=36_500)  # only read and erased
    store = PromptStore(left_behind, config.storage_options)
    return store if store.holds_parts else None


def split_rows(
    content: bytes, is_meant: Callable[[Row], bool]
) -> tuple[list[bytes], list[Row | None]]:
    """Return the lines that stay, and what goes: rows that are meant, None for what is no row."""
    rest: list[bytes] = []
    gone: list[Row | None] = []
    for line in content.splitlines(keepends=True):
        row = json_object(line)
        if row is None or is_meant(row):
            gone.append(row)
        else:
            rest.append(line)
    return rest, gone


def _time(row: Row) -> float:
    """Return when a row's prompt was asked; never where it does not say."""
    at = row.get("time")
    return float(at) if isinstance(at, int | float) else 0.0
