"""Small objects on fsspec's file systems; S3 itself checks that what it replaces is unchanged."""

from __future__ import annotations

from typing import Any

_FLAT = frozenset(("abfs", "abfss", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a"))


def content_of(files: Any, path: str) -> bytes | None:
    """Return an object's content, None where there is none."""
    try:
        return bytes(files.cat_file(path))
    except FileNotFoundError:
        return None


def write_content(files: Any, path: str, content: bytes) -> None:
    """Write an object, whatever was there."""
    make_folder(files, path)
    files.pipe_file(path, content)


def make_folder(files: Any, path: str) -> None:
    """Make the folder of a path, where a store has folders."""
    if not _FLAT.intersection(_protocols(files)):
        files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)


def tag_of(files: Any, path: str) -> str | None:
    """Return what `replace_content` needs to know of an object; None where it needs nothing."""
    if not _is_s3(files):
        return None
    try:
        tag = files.info(path).get("ETag")
    except FileNotFoundError:
        return None
    return None if tag is None else str(tag)


def replace_content(
    files: Any, path: str, before: bytes | None, tag: str | None, content: bytes
) -> bool:
    """Write an object if it still is what it was.

    Parameters
    ----------
    files : fsspec.AbstractFileSystem
    path : str
    before : bytes or None
        What it was; None for no object.
    tag : str or None
        Of what it was, as `tag_of` returned it.
    content : bytes

    Returns
    -------
    bool
        False where it is another now, and was left alone.
    """
    if content_of(files, path) != before:
        return False
    if not _is_s3(files):
        write_content(files, path, content)
        return True
    if (before is None) != (tag is None):  # it came or went between the two looks
        return False
    condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": tag}
    try:
        files.pipe_file(path, content, **condition)
    except OSError as error:
        code = _code(error)
        if code in ("NotImplemented", "501"):  # a server that is S3 but for this
            files.pipe_file(path, content)
        elif code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
            # A write whose answer was lost is tried again, and then conflicts with itself.
            return content_of(files, path) == content
        else:
            raise
    return True


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _is_s3(files: Any) -> bool:
    return "s3" in _protocols(files)


def _code(error: BaseException) -> str:
    """Return the code with which an S3 server answered."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
