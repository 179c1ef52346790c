"""Secrets that we must be able to use again (a channel's token, a judge's key), encrypted where they are stored.

Fernet (AES-128-CBC with HMAC-SHA256) of the `cryptography` package. Keys are derived by HKDF-SHA256 from the
passphrases of HELIOGRAPH_SECRET_KEYS: the first encrypts, all decrypt, so that a new one is put in front and the old
ones are removed once `rotated` has been over what is stored. HELIOGRAPH_SECRET_KEY is the last that decrypts, and the
only one where no other is given: setting HELIOGRAPH_SECRET_KEYS later loses nothing.
"""

import base64
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.apps import apps
from django.conf import settings
from django.db import models

# Part of how every stored secret was made: never change it.
_PURPOSE = b"heliograph stored secret v1"
# A rotation needs two keys at a time; more than this is a mistake in the list.
MAX_KEYS = 10


class SecretLostError(Exception):
    """A stored secret that none of the keys opens: it has to be entered again."""

    def __init__(self) -> None:
        super().__init__(
            "The stored secret cannot be read with the keys of this installation: enter it again, or put back the "
            "key that it was stored with (HELIOGRAPH_SECRET_KEYS, HELIOGRAPH_SECRET_KEY)."
        )


def encrypt(secret: str) -> str:
    """Return what is stored of a secret; the same secret looks different each time."""
    return _box().encrypt(secret.encode()).decode("ascii")


def decrypt(stored: str) -> str:
    """Return the secret. Raises SecretLostError."""
    try:
        return _box().decrypt(stored.encode()).decode()
    except InvalidToken as error:
        raise SecretLostError from error


def rotated(stored: str) -> str:
    """Return the same secret encrypted with the newest key. Raises SecretLostError."""
    try:
        return _box().rotate(stored.encode()).decode("ascii")
    except InvalidToken as error:
        raise SecretLostError from error


def _box() -> MultiFernet:
    return _box_of((*settings.SECRET_KEYS[:MAX_KEYS], settings.SECRET_KEY))


@lru_cache(maxsize=4)
def _box_of(passphrases: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_key(passphrase)) for passphrase in passphrases])


def _key(passphrase: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(passphrase.encode())
    return base64.urlsafe_b64encode(derived)


if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField


class SecretField(_TextField):
    """A column of what `encrypt` returned, '' where there is none: by its type `rotate_secrets` finds all secrets.

    The value stays as it is stored, so that a list of rows decrypts nothing: call `decrypt` where the secret is used.
    """

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Be a text column in migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs


def secret_columns() -> Iterator[tuple[type[models.Model], str]]:
    """Yield every model's columns of secrets."""
    for model in apps.get_models():
        for field in model._meta.fields:
            if isinstance(field, SecretField):
                yield model, field.name
