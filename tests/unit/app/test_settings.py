"""Where what is known beside the originals is kept."""

import os
import stat
from pathlib import Path

import pytest

from imgserve.app.settings import catalog_url, create_data_folder, data_folder
from imgserve.config import Config
from imgserve.config.pictures import OriginalsConfig
from imgserve.config.sections import CatalogConfig
from imgserve.errors import ConfigError


def config(folder: Path, url: str = "", data: Path | None = None) -> Config:
    return Config(originals=OriginalsConfig(folder=folder, data_folder=data), catalog=CatalogConfig(url=url))


def created(configured: Config) -> Path:
    folder = data_folder(configured)
    create_data_folder(configured, folder)
    return folder


def test_choosing_a_folder_creates_nothing(tmp_path: Path) -> None:
    for chosen in (None, tmp_path / ".data"):
        data_folder(config(tmp_path, data=chosen))
    assert list(tmp_path.iterdir()) == []


def test_records_move_with_the_originals(tmp_path: Path) -> None:
    data = created(config(tmp_path))
    assert data == tmp_path / ".imgserve"
    assert data.is_dir()
    assert catalog_url(config(tmp_path), data) == f"sqlite:///{tmp_path}/.imgserve/catalog.sqlite"


def test_originals_that_cannot_be_written_to_have_a_folder_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: not str(path).startswith("/proc"))  # root can write anywhere
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    one, other = (created(config(Path(folder))) for folder in ("/proc/self/task", "/proc/self/fd"))
    assert one.parent == other.parent == tmp_path / "data" / "imgserve"
    assert one != other
    assert one == created(config(Path("/proc/self/task")))
    assert one.is_dir()


def test_a_folder_elsewhere_that_cannot_be_made_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: not str(path).startswith("/proc"))
    monkeypatch.setenv("XDG_DATA_HOME", "/proc")
    assert created(config(Path("/proc/self/task"))).parent == Path("/proc/imgserve")


def test_a_data_folder_that_is_named_is_made_and_used(tmp_path: Path) -> None:
    photos, data = tmp_path / "photos", tmp_path / "deep/data"
    photos.mkdir()
    assert created(config(photos, data=data)) == data
    assert data.is_dir()
    assert list(photos.iterdir()) == []


def test_a_new_data_folder_is_for_the_account_of_the_server_alone(tmp_path: Path) -> None:
    create_data_folder(config(tmp_path), data_folder(config(tmp_path)))
    assert stat.S_IMODE((tmp_path / ".imgserve").stat().st_mode) == 0o700


def test_a_data_folder_that_is_named_and_cannot_be_written_to_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/data"):
        with pytest.raises(ConfigError, match=f"originals.data_folder: {folder} cannot be created or written to"):
            created(config(tmp_path / "photos", data=folder))


def test_git_ignores_a_data_folder_inside_a_working_tree(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    photos = tmp_path / "site/photos"
    photos.mkdir(parents=True)
    for data in (created(config(photos)), created(config(photos, data=tmp_path / "data"))):
        assert (data / ".gitignore").read_text() == "*\n"


def test_git_may_be_reported_otherwise(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (created(config(tmp_path)) / ".gitignore").write_text("mine")
    created(config(tmp_path))
    assert (tmp_path / ".imgserve/.gitignore").read_text() == "mine"


def test_no_ignore_file_is_written_elsewhere(tmp_path: Path) -> None:
    """Neither outside of a working tree, nor into a folder that was there before and may hold other things."""
    photos, used, repository = (tmp_path / name for name in ("photos", "repository/used", "repository"))
    for folder in (photos, used, repository / ".git"):
        folder.mkdir(parents=True)
    for data in (created(config(photos)), created(config(photos, data=used))):
        assert not (data / ".gitignore").exists()


def test_a_database_that_is_named_is_used(tmp_path: Path) -> None:
    assert catalog_url(config(tmp_path, "postgresql://db/images"), tmp_path) == "postgresql://db/images"


@pytest.mark.parametrize(
    "url", ["mysql://user:secret@db/images", "sqlite://", "sqlite:///", "secret.db", "postgresql://"]
)
def test_a_database_that_none_can_be_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///folder") as caught:
        Config.load(environ={"IMGSERVE_CATALOG__URL": url})
    assert "secret" not in str(caught.value)
