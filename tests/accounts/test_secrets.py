"""Stored secrets: unreadable as stored, readable with any of the keys, rotated to the newest."""

import pytest
from pytest_django import Settings

from heliograph.accounts import secrets

OLD, NEW = "an old passphrase of forty characters....", "a new passphrase of forty characters....."


def test_a_stored_secret_shows_nothing_and_comes_back() -> None:
    stored = secrets.encrypt("whsec_ü")
    assert "whsec" not in stored
    assert stored != secrets.encrypt("whsec_ü")
    assert secrets.decrypt(stored) == "whsec_ü"


def test_a_new_key_in_front_reads_what_the_old_ones_stored(settings: Settings) -> None:
    by_default = secrets.encrypt("first")
    settings.SECRET_KEYS = [OLD]
    by_old = secrets.encrypt("second")
    settings.SECRET_KEYS = [NEW, OLD]
    assert [secrets.decrypt(each) for each in (by_default, by_old)] == ["first", "second"]


def test_what_was_rotated_needs_the_old_key_no_more(settings: Settings) -> None:
    settings.SECRET_KEYS = [OLD]
    stored = secrets.encrypt("token")
    settings.SECRET_KEYS = [NEW, OLD]
    fresh = secrets.rotated(stored)
    settings.SECRET_KEYS, settings.SECRET_KEY = [NEW], "of another installation"
    assert secrets.decrypt(fresh) == "token"
    with pytest.raises(secrets.SecretLostError, match="enter it again"):
        secrets.decrypt(stored)
