"""What `artifacts`, `artifacts_cache` and `storage_options` may say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from conftest import Ended

from litellm_benchrouter.config import load_config, mirror_folder
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.store.secrets import redacted, without_password


def test_copies_lie_in_the_users_cache_a_folder_for_each_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    urls = ["s3://models/bench", "s3://models/other", "gs://models/bench", "abfs://a@b.net/bench"]
    places = [load_config(tiny.configure(tmp_path, artifacts=url)) for url in urls]
    assert [config.artifacts_url for config in places] == urls
    folders = {config.artifacts for config in places}
    assert len(folders) == len(urls)
    assert {folder.parent for folder in folders} == {tmp_path / "xdg" / "litellm-benchrouter"}
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load_config(tiny.configure(tmp_path, artifacts=urls[0]))
    assert config.artifacts.parent == tmp_path / ".cache" / "litellm-benchrouter"
    assert config.artifacts.name.startswith("models-bench-")


def test_a_new_password_is_the_same_place_and_is_not_shown(tmp_path: Path) -> None:
    one, other = "sftp://ann:first@host/models", "sftp://ann:second@host/models"
    assert mirror_folder(one, tmp_path) == mirror_folder(other, tmp_path)
    assert without_password(one) == "sftp://ann:***@host/models"
    error = OSError("GET https://a.net/b?sig=abc&se=1 of sftp://ann:first@host failed: first")
    assert (
        redacted(error, {"first"})
        == "OSError: GET https://a.net/b?... of sftp://***@host failed: ***"
    )


def test_labels_are_kept_beside_the_configuration_and_not_among_copies(tmp_path: Path) -> None:
    config = load_config(
        tiny.configure(tmp_path, artifacts="s3://models/bench", artifacts_cache="cache")
    )
    assert config.artifacts.parent == tmp_path / "cache"
    assert config.labels_home == tmp_path / "router_artifacts"
    local = load_config(tiny.configure(tmp_path, artifacts="there"))
    assert (local.labels_home, local.artifacts_url) == (tmp_path / "there", None)


@pytest.mark.parametrize("url", ["s3://", "s3:///models", "s3://models/a?b=c", "s3://mo dels/x"])
def test_a_url_that_names_no_place_is_refused(
    tmp_path: Path, url: str, benchrouter: Callable[..., Ended]
) -> None:
    with pytest.raises(ConfigError, match=r"benchrouter\.artifacts: .* names no place"):
        load_config(tiny.configure(tmp_path, artifacts=url))
    assert benchrouter("versions", "--artifacts", url).code == 2


def test_what_is_no_block_of_options_is_refused_without_being_shown(tmp_path: Path) -> None:
    path = tiny.configure(tmp_path, artifacts="s3://m", storage_options="key-4711")
    with pytest.raises(ConfigError, match=r"storage_options.*block of keys") as refused:
        load_config(path)
    assert "4711" not in str(refused.value)


def test_an_unknown_kind_of_store_is_a_wrong_configuration(
    tmp_path: Path, benchrouter: Callable[..., Ended]
) -> None:
    path = tiny.write(tmp_path, artifacts="s9://models/bench", artifacts_cache="cache")
    ended = benchrouter("versions", "--config", path)
    assert ended.code == 2
    assert "s9://models/bench cannot be opened" in ended.err


def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    tmp_path: Path, benchrouter: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec.core

    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    path = tiny.write(tmp_path, artifacts="s3://models/bench", artifacts_cache="cache")
    ended = benchrouter("versions", "--config", path)
    assert ended.code == 2
    assert 'pip install "litellm-benchrouter[s3]"' in ended.err


def test_a_directory_given_on_the_command_line_needs_no_configuration(
    tiny_folder: Path, benchrouter: Callable[..., Ended]
) -> None:
    root = tiny_folder / "router_artifacts"
    listed = benchrouter("versions", "--artifacts", root, "--json").document
    assert (listed["current"], listed["artifacts"]) == (Store(root).current(), str(root))
