from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from imgserve.config import Config
from imgserve.errors import ConfigError

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> Path:
        file = Path("imgserve.yaml")
        file.write_text(dedent(text), encoding="utf-8")
        return file

    return written


def mistakes(path: Path | None = None, environ: dict[str, str] | None = None, **given: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Config.load(path, environ=environ or {}, **given)
    return caught.value.mistakes


def test_each_source_is_stronger_than_the_one_before(write: Write) -> None:
    file = write("server: {host: 10.0.0.1, port: 1, workers: 2}")
    environ = {"IMGSERVE_SERVER__PORT": "3", "IMGSERVE_SERVER__WORKERS": "4"}
    server = Config.load(file, environ=environ, overrides={"server.workers": 5, "server.host": None}).server
    assert (server.host, server.port, server.workers, server.grace) == ("10.0.0.1", 3, 5, 20.0)


def test_the_file_is_named_by_argument_or_environment_else_imgserve_yaml(write: Write, tmp_path: Path) -> None:
    assert Config.load(environ={}).server.port == 8000
    write("server: {port: 1}")
    named, given = tmp_path / "named.yaml", tmp_path / "given.yaml"
    named.write_text("server: {port: 2}")
    given.write_text("server: {port: 3}")
    environ = {"IMGSERVE_CONFIG": str(named)}
    ports = [Config.load(path, environ=environ).server.port for path in (given, str(given), None)]
    assert [*ports, Config.load(environ={"IMGSERVE_CONFIG": ""}).server.port] == [3, 3, 2, 1]


def test_a_config_yaml_of_something_else_is_left_alone(write: Write) -> None:
    write("").rename("config.yaml")
    Path("config.yaml").write_text("baseURL: https://www.example.com/\n")
    assert Config.load(environ={}) == Config()


def test_an_empty_file_says_nothing(write: Write) -> None:
    assert Config.load(write("# nothing\n"), environ={}) == Config()


@pytest.mark.parametrize(
    ("name", "value", "setting", "kept"),
    [
        ("IMGSERVE_CACHE__DISK_BYTES", "10GB", "cache.disk_bytes", 10**10),
        ("imgserve_cache__disk_bytes", "1MB", "cache.disk_bytes", 10**6),
        ("IMGSERVE_CACHE__DISK_BYTES", "", "cache.disk_bytes", 10**10),
        ("IMGSERVE_FORMATS__QUALITY__JPG", "70", "formats.quality.jpg", 70),
        ("IMGSERVE_HTTP__CORS_ORIGINS", "https://a.example,*", "http.cors_origins", ("https://a.example", "*")),
        ("IMGSERVE_LOG__ACCESS", "off", "log.access", "off"),
        ("IMGSERVE_URLS__STRICT", "true", "urls.strict", True),
        ("XDG_CACHE_HOME", "/var/cache", "cache.folder", Path("/var/cache/imgserve")),
        ("XDG_CACHE_HOME", "relative", "cache.folder", Path.home() / ".cache/imgserve"),
    ],
)
def test_the_environment_sets_a_setting(name: str, value: str, setting: str, kept: object) -> None:
    found: object = Config.load(environ={name: value})
    for part in setting.split("."):
        found = getattr(found, part)
    assert found == kept


def test_a_preset_may_come_from_file_and_environment_together(write: Write) -> None:
    file = write("presets: {card: {width: 400}, wide: w=1600}")
    presets = Config.load(file, environ={"IMGSERVE_PRESETS__CARD__HEIGHT": "300"}).presets
    assert presets["card"] == {"width": "400", "height": "300"}
    assert set(presets) == {"card", "wide", "default"}


def test_variables_of_others_are_left_alone() -> None:
    service = {
        "IMGSERVE_SERVER": "https://img.example.com",
        "IMGSERVE_KEY": "secret",
        "IMGSERVE_SERVICE_HOST": "10.0.0.1",
        "IMGSERVE_SERVICE_PORT_HTTP": "80",
        "IMGSERVE_PORT": "tcp://10.0.0.1:80",
        "IMGSERVE_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert Config.load(environ={**service, "PATH": "/bin", "IMGSERVER_PORT": "x"}) == Config()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "cache:\n  disk_bytes: lots",
            'imgserve.yaml:2: cache.disk_bytes: expected a size such as 10GB, but received "lots"',
        ),
        (
            "cache:\n  disk_byte: 1",
            'imgserve.yaml:2: cache.disk_byte: no setting has this name, did you mean "cache.disk_bytes"?',
        ),
        ("\nport: 1", 'imgserve.yaml:2: port: no setting has this name, did you mean "server.port"?'),
        ("cashe: {}", 'imgserve.yaml:1: cashe: no setting has this name, did you mean "cache"?'),
        ("Cache: {}", 'imgserve.yaml:1: Cache: no setting has this name, did you mean "cache"?'),
        ("xyzzy: 1", "imgserve.yaml:1: xyzzy: no setting has this name"),
        ("server: text", "imgserve.yaml:1: server: expected a section of settings, but received a single value"),
        ("server: [1]", "imgserve.yaml:1: server: expected a section of settings, but received a list"),
        ("server: {port: x}", 'imgserve.yaml:1: server.port: expected a whole number, but received "x"'),
        ("server: {port: 1.5}", 'imgserve.yaml:1: server.port: expected a whole number, but received "1.5"'),
        ("server: {port: 99999}", 'imgserve.yaml:1: server.port: expected at most 65535, but received "99999"'),
        ("server: {port: {}}", "imgserve.yaml:1: server.port: expected a whole number, but received a mapping"),
        ("server: {grace: 2h}", 'imgserve.yaml:1: server.grace: expected at most 1h, but received "2h"'),
        (
            "rendering: {time_limit: 0}",
            'imgserve.yaml:1: rendering.time_limit: expected more than 0s, but received "0"',
        ),
        ("urls: {strict: perhaps}", 'imgserve.yaml:1: urls.strict: expected true or false, but received "perhaps"'),
        ("formats: {svg: of}", 'imgserve.yaml:1: formats.svg: expected rasterize, sanitize or off, but received "of"'),
        ("http: {cors_origins: {}}", "imgserve.yaml:1: http.cors_origins: expected a list, but received a mapping"),
        ("log: {access: [x]}", 'imgserve.yaml:1: log.access: expected text, but received the list "x"'),
        ("a: 1\na: 2", "imgserve.yaml:2: a: already given in line 1"),
        ("originals:\n\tfolder: x", "imgserve.yaml:2: a tab; indent with spaces"),
        (
            "presets:\n  card:\n    widht: 3",
            'imgserve.yaml:3: presets.card.widht: unknown parameter "widht", did you mean "width"?',
        ),
        (
            "presets:\n  card:\n    width: 3\n    fit: cropp",
            "imgserve.yaml:4: presets.card.fit: expected one of clip, max, crop, min, fill, fillmax, scale, clamp, but",
        ),
    ],
)
def test_a_mistake_in_the_file_is_reported_with_its_line(write: Write, text: str, expected: str) -> None:
    assert any(sentence.startswith(expected) for sentence in mistakes(write(text)))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("IMGSERVE_CACHE__DISK_BYTES", "lots", 'expected a size such as 10GB, but received "lots"'),
        ("IMGSERVE_CASHE__DISK_BYTES", "1", 'no setting has this name, did you mean "IMGSERVE_CACHE__DISK_BYTES"?'),
        ("IMGSERVE_CACHE__DISK_BYTE", "", 'no setting has this name, did you mean "IMGSERVE_CACHE__DISK_BYTES"?'),
        ("IMGSERVE_PORT", "80", 'no setting has this name, did you mean "IMGSERVE_SERVER__PORT"?'),
        ("IMGSERVE_TYPO", "1", "no setting has this name"),
        ("IMGSERVE_", "1", "no setting has this name"),
        ("IMGSERVE_CACHE", "{}", "no setting has this name"),
        ("IMGSERVE_SERVER__PORT__X", "1", "no setting has this name"),
        ("IMGSERVE_PRESETS__CARD", "width=x", "width: expected an integer 1..8192 or a fraction 0 < x <= 1, but"),
        ("IMGSERVE_HTTP__CORS_ORIGINS", '["*"]', "expected web origins such as https://www.example.com"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(name: str, value: str, expected: str) -> None:
    [sentence] = mistakes(environ={name: value})
    assert sentence.startswith(f"{name}: {expected}")


def test_a_cache_home_among_the_originals_names_the_variable(tmp_path: Path) -> None:
    [sentence] = mistakes(environ={"XDG_CACHE_HOME": str(tmp_path)}, overrides={"originals.folder": str(tmp_path)})
    assert sentence.startswith(f"XDG_CACHE_HOME: cache.folder: {tmp_path}/imgserve is inside the folder of originals")


def test_a_mistake_on_the_command_line_names_the_option() -> None:
    overrides = {"server.port": "x", "server.hots": "x", "server.workers": "0"}
    found = mistakes(overrides=overrides, options={"server.port": "--port"})
    assert found == [
        '--port: expected a whole number, but received "x"',
        'command line: server.workers: expected auto or a whole number from 1 to 256, but received "0"',
        'command line: server.hots: no setting has this name, did you mean "server.host"?',
    ]


def test_every_mistake_of_every_source_is_reported_at_once_in_order(write: Write) -> None:
    file = write(
        """\
        server:
          port: 0x50
          port: 70000
        cache:
          disk_bytes: lots
          disk_entires: 3
        http: {max_age: tomorrow}
        """
    )
    environ = {"IMGSERVE_TYPO": "1", "IMGSERVE_SERVER__WORKERS": "0"}
    found = mistakes(file, environ, overrides={"log.level": "loud"})
    assert [sentence.split(" ")[0] for sentence in found] == [
        "imgserve.yaml:2:",
        "imgserve.yaml:3:",
        "imgserve.yaml:5:",
        "imgserve.yaml:6:",
        "imgserve.yaml:7:",
        "IMGSERVE_TYPO:",
        "IMGSERVE_SERVER__WORKERS:",
        "command",
    ]


def test_a_file_that_cannot_be_read_is_a_mistake_like_any_other(tmp_path: Path) -> None:
    missing = tmp_path / "no.yaml"
    assert mistakes(missing, {"IMGSERVE_TYPO": "1"}) == [
        f"{missing}: cannot be read: No such file or directory",
        "IMGSERVE_TYPO: no setting has this name",
    ]
    assert mistakes(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    assert mistakes(environ={"IMGSERVE_CONFIG": str(missing)}) == [
        f"{missing}: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("originals", "cache", "good"),
    [
        ("photos", "cache", True),
        (".", "./.cache", True),
        (".", "./.cache/deep", True),
        ("photos", "photos/.imgserve/cache", True),
        ("photos", "photos-cache", True),
        (".", "cache", False),
        ("photos", "photos", False),
        ("cache/photos", "cache", False),
        ("photos", "photos/../photos/cache", False),
    ],
)
def test_renditions_may_not_lie_among_originals(write: Write, originals: str, cache: str, good: bool) -> None:
    text = f"originals: {{folder: {originals}}}\ncache:\n  folder: {cache}\n"
    if good:
        assert str(Config.load(write(text), environ={}).cache.folder) == str(Path(cache))
        return
    [sentence] = mistakes(write(text))
    assert sentence.startswith("imgserve.yaml:3: cache.folder: ")
    assert Config.load(write(text + "  disk_bytes: 0"), environ={}).cache.disk_bytes == 0


@pytest.mark.parametrize(
    ("data", "good"),
    [("data", True), ("photos/.imgserve", True), ("photos/.data/deep", True), ("photos", False), ("photos/data", False),
     ("archive/data", False)],
)  # fmt: skip
def test_data_may_not_be_served(write: Write, data: str, good: bool) -> None:
    text = f"originals:\n  folder: photos\n  folders: {{old: archive}}\n  data_folder: {data}\n"
    if good:
        assert Config.load(write(text), environ={}).originals.data_folder == Path(data)
        return
    [sentence] = mistakes(write(text))
    assert sentence.startswith("imgserve.yaml:4: originals.data_folder: ")
    assert "only a hidden folder is possible there" in sentence


def test_settings_by_name_come_from_the_environment_as_in_the_file() -> None:
    environ = {
        "IMGSERVE_SITES": '{"shop": {"folder": "shop", "rules": {"presets_only": true}}}',
        "IMGSERVE_RULES__ERROR_IMAGES": "{404: missing.png}",
        "IMGSERVE_ORIGINALS__FOLDERS": "{archive: /mnt/a}",
    }
    config = Config.load(environ=environ)
    assert (config.sites["shop"].folder, config.sites["shop"].rules.presets_only) == ("shop/", True)
    assert (config.rules.error_images, config.originals.folders) == ({404: "missing.png"}, {"archive": Path("/mnt/a")})
    assert mistakes(environ={"IMGSERVE_SITES": "{a: {foldr: x}}"})[0].startswith("IMGSERVE_SITES: sites.a.foldr: no")
    assert mistakes(environ={"IMGSERVE_SITES": "{a"})[0].startswith("IMGSERVE_SITES: not valid YAML")


def test_a_variable_of_all_presets_is_answered_with_that_of_one() -> None:
    found = mistakes(environ={"IMGSERVE_PRESETS": "{}"})
    assert found == ['IMGSERVE_PRESETS: no setting has this name, did you mean "IMGSERVE_PRESETS__NAME"?']
