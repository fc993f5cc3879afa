"""Further folders of originals in the settings: both forms, and every mistake at once."""

from pathlib import Path

import pytest

from imgserve.config import Config
from imgserve.errors import ConfigError

NO_IDS = "no image id can start with"
EMPTY_ID = "it is empty, begins or ends with a slash, or contains //"


def mistakes(text: str, tmp_path: Path, **environ: str) -> list[str]:
    file = tmp_path / "imgserve.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        Config.load(file, environ=environ)
    return raised.value.mistakes


def test_folders_are_set_by_prefix(tmp_path: Path) -> None:
    file = tmp_path / "imgserve.yaml"
    file.write_text("originals:\n  folders: {archive/2024: ~/old, press: relative}\n", encoding="utf-8")
    config = Config.load(file, environ={"IMGSERVE_ORIGINALS__FOLDER": str(tmp_path)})
    assert config.originals.folders == {"archive/2024": Path.home() / "old", "press": Path("relative")}


def test_the_environment_gives_them_as_text() -> None:
    environ = {
        "IMGSERVE_ORIGINALS__FOLDERS": "archive/2024=/mnt/a=b, press = /mnt/p,",
        "IMGSERVE_ORIGINALS__FOLDER": "/o",
    }
    assert Config.load(environ=environ).originals.folders == {
        "archive/2024": Path("/mnt/a=b"),
        "press": Path("/mnt/p"),
    }


@pytest.mark.parametrize("text", ["archive", "a=/a,a=/b"])
def test_text_that_is_no_folders_by_prefix_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigError, match="IMGSERVE_ORIGINALS__FOLDERS: expected each prefix once"):
        Config.load(environ={"IMGSERVE_ORIGINALS__FOLDERS": text})


def test_a_variable_for_one_prefix_is_refused_with_the_name_of_the_right_one() -> None:
    with pytest.raises(ConfigError, match='did you mean "IMGSERVE_ORIGINALS__FOLDERS"'):
        Config.load(environ={"IMGSERVE_ORIGINALS__FOLDERS__ARCHIVE": "/mnt/a"})


def test_every_mistake_is_reported_with_its_line(tmp_path: Path) -> None:
    main = tmp_path / "main"
    text = f"""originals:
  folder: {main}
  folders:
    ../up: /mnt/a
    "": /mnt/a
    blank: " "
    list: [a]
    same: {main}/.
    inside: {main}/sub
    around: {tmp_path}
    beside: {main}-beside
"""
    found = [line.removeprefix(f"{tmp_path}/imgserve.yaml:") for line in mistakes(text, tmp_path)]
    assert found == [
        f"4: originals.folders.../up: {NO_IDS} '../up': a part of it begins with a dot, which hides it or leads upward",
        f"5: originals.folders.: {NO_IDS} '': {EMPTY_ID}",
        '6: originals.folders.blank: expected a folder, but received " "',
        '7: originals.folders.list: expected a folder, but received the list "a"',
        f"8: originals.folders.same: {main} is the folder of originals itself",
        f"9: originals.folders.inside: {main}/sub is inside the folder of originals, {main}, and served from there",
        f"10: originals.folders.around: the folder of originals, {main}, must not be inside {tmp_path}",
    ]


def test_a_link_does_not_hide_that_folders_lie_in_each_other(tmp_path: Path) -> None:
    (tmp_path / "main/sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("main/sub")
    text = f"originals: {{folder: {tmp_path}/main, folders: {{a: {tmp_path}/link}}}}\n"
    assert "is inside the folder of originals" in mistakes(text, tmp_path)[0]


def test_renditions_are_not_stored_among_further_originals(tmp_path: Path) -> None:
    text = f"originals: {{folder: /srv/o, folders: {{a: {tmp_path}/a, b: {tmp_path}/cache/b}}}}\n"
    found = mistakes(text, tmp_path, IMGSERVE_CACHE__FOLDER=f"{tmp_path}/a/cache")
    assert len(found) == 1
    assert found[0].startswith(f"IMGSERVE_CACHE__FOLDER: {tmp_path}/a/cache is inside the folder of originals")
    assert "must not be inside" in mistakes(text, tmp_path, IMGSERVE_CACHE__FOLDER=f"{tmp_path}/cache")[0]


def test_the_trash_is_kept_for_a_week_or_the_configured_time() -> None:
    assert Config().originals.trash == 7 * 86400
    assert Config.load(environ={"IMGSERVE_ORIGINALS__TRASH": "0"}).originals.trash == 0
    with pytest.raises(ConfigError, match="whole seconds"):
        Config.load(environ={"IMGSERVE_ORIGINALS__TRASH": "1.5s"})
