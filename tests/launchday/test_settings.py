"""Settings: read from the environment, refused with their name, handed on to children unchanged."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from launchday.settings import Settings
from launchday.stack import environment


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_a_child_reads_the_same_settings_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(
        cache_url="redis://elsewhere:1", match_s=7.5, fleet_key=SecretStr("ab" * 32), log_json=True
    )
    for name, value in environment(given).items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert read.model_copy(update={"state_dir": given.state_dir}) == given
    assert read.state_dir == given.state_dir.absolute()


def test_a_fleet_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValidationError, match="64 hexadecimal digits"):
        Settings(fleet_key=SecretStr("abc"))


def test_secrets_do_not_show_in_logs() -> None:
    assert "ab" * 32 not in repr(Settings(fleet_key=SecretStr("ab" * 32)))
