import pickle

import pytest
from pydantic import ValidationError

from imgserve.config import Config
from imgserve.config.pictures import LimitsConfig, OriginalsConfig
from imgserve.config.sections import ServerConfig


def test_a_config_made_directly_reads_neither_files_nor_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGSERVE_SERVER__PORT", "1")
    config = Config(originals=OriginalsConfig(folder="photos"))
    assert (str(config.originals.folder), config.server.port) == ("photos", 8000)


def test_without_an_environment_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGSERVE_SERVER__PORT", "1")
    assert Config.load().server.port == 1


def test_a_config_survives_pickling() -> None:
    config = Config(server=ServerConfig(port=1), presets={"card": {"width": 400}})
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301  our own bytes


def test_a_config_cannot_be_changed() -> None:
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.server = ServerConfig()  # type: ignore[misc]


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Config.model_validate({"typo": 1})


def test_presets_include_the_shipped_default_unless_it_is_replaced() -> None:
    assert Config(presets={"Card": "w=400"}).presets == {
        "default": {"width": 2048, "height": 2048, "fit": "max"},
        "card": "w=400",
    }
    assert Config(presets={"default": {}}).plain_presets()["default"].values == {}


def test_presets_become_values_of_the_transform_layer() -> None:
    presets = Config(presets={"card": {"w": 400, "auto": ["format"], "enlarge": "true"}}).plain_presets()
    assert presets["card"].values == {"width": 400, "auto": {"format"}, "enlarge": True}


@pytest.mark.parametrize(
    ("presets", "locations"),
    [
        ({"a b": "w=1"}, [("presets", "a b")]),
        ({"-a": "w=1", "": "w=1"}, [("presets", "-a"), ("presets", "")]),
        ({"card": "w=1", "CARD": "w=2"}, [("presets", "CARD")]),
        ({"card": 3}, [("presets", "card")]),
        ({"card": {"w": 1, "width": 2}}, [("presets", "card")]),
        ({"card": {"w": -1, "fit": "x"}}, [("presets", "card", "w"), ("presets", "card", "fit")]),
        ({"card": {"preset": "card"}}, [("presets", "card")]),
        ({"card": {"extends": "crad"}, "b": {"extends": "vivid"}}, [("presets", "card")]),
        ({"a": "extends=b", "b": {"extends": "c"}, "c": "preset=a"}, [("presets", name) for name in "abc"]),
        ({"a": {"aliases": ["b", "vivid"]}, "b": {"locked": "heigth"}}, [("presets", "b", "locked")]),
        ({"a": {"aliases": ["b"]}, "b": "w=1"}, [("presets", "a")]),
        ("w=1", [("presets",)]),
    ],
)
def test_every_mistake_in_presets_is_reported_at_its_place(presets: object, locations: list[tuple[str, ...]]) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"presets": presets})
    assert [error["loc"] for error in caught.value.errors()] == locations


def test_presets_are_checked_even_where_the_limits_are_wrong() -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"limits": {"output_side": 0}, "presets": {"card": "w=x"}})
    assert caught.value.error_count() == 2


def test_limits_reach_the_presets() -> None:
    config = Config(limits=LimitsConfig(output_side=100), presets={"card": "w=400"})
    assert config.plain_presets()["card"].values == {"width": 400}
