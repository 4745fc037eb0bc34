"""The examples in config/ are read as they stand, and the one that promises every setting shows every setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.core.config import Config, load
from monitor.core.config_tables import TABLES
from monitor.core.errors import ConfigError

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = sorted(CONFIG.glob("*.toml"))
_REFERENCE = re.compile(r"\$\{([A-Z0-9_]+)\}")


def example(path: Path) -> Config:
    text = path.read_text("utf-8")
    environ = {name: f"password of {name}" for name in _REFERENCE.findall(text)}
    return load(text, file=path.name, environ=environ, credentials={})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_each_example_is_read(path: Path) -> None:
    config = example(path)
    assert config.media.enforce == "strict"
    for _, _, address in config.cameras():
        assert address.kind == "pattern" or address.has_password


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_no_example_holds_a_password(path: Path) -> None:
    with pytest.raises(ConfigError, match="is not set"):
        load(path.read_text("utf-8"), file=path.name, environ={}, credentials={})


def test_the_example_shows_every_setting() -> None:
    text = (CONFIG / "example.toml").read_text("utf-8")
    for table, keys in TABLES.items():
        for key in keys:
            if table == ("server", "tls"):
                assert re.search(rf"^# tls = .*\b{key} = ", text, re.MULTILINE), key
            elif ((*table, key)) in TABLES:
                assert re.search(rf"^\[+{'.'.join((*table, key))}\]+|^{key} = ", text, re.MULTILINE), key
            else:
                assert re.search(rf"^{key} = ", text, re.MULTILINE), key


def test_the_examples_show_defaults_where_they_say_so() -> None:
    shown, default = example(CONFIG / "example.toml"), Config.model_fields
    assert shown.media == default["media"].default
    assert shown.retention == default["retention"].default
    fields = type(shown.server).model_fields
    assert all(getattr(shown.server, key) == fields[key].default for key in fields if key != "public_host")


def test_the_clinics_example_says_what_its_policy_says() -> None:
    config = example(CONFIG / "ct-klinikken.toml")
    assert config.clinic.name == config.notice.controller == "CT Klinikken A/S"
    assert config.notice.legal_bases == ("6(1)(d)", "6(1)(f)")
    assert config.notice.legitimate_interest == "sikre klinikens fysiske rammer"
    assert config.notice.article_9 == ""
    assert [bool(bay.camera) for bay in config.bays] == [True, True, True, False]
    assert all(bay.buttons for bay in config.bays)
    assert all(bay.sign for bay in config.bays if bay.camera)
