"""What a target is told of who asks, and whom we believe to be it.

Only the operator names credentials, in the watch file or by Kubernetes' settings: who may merely add targets would send
the operator's secrets wherever he likes. A row holds where a secret is, never the secret. That is read at each scrape,
so that a token which is changed each hour is the right one, and goes into the request and nowhere else.
"""

import base64
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from django.core.exceptions import ValidationError

FILES = ("token_file", "password_file", "ca_file", "cert_file", "key_file")
TLS = ("ca_file", "cert_file", "key_file")
KEYS = frozenset((*FILES, "token_env", "password_env", "username", "server_name"))
# A service account's token has about a kilobyte.
MAX_SECRET_BYTES = 2**16
_ENVIRONMENT = re.compile(r"[A-Z0-9_]{1,100}")
_NAME = re.compile(r"[A-Za-z0-9.:-]+")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class CredentialError(Exception):
    """A secret or certificate that cannot be had, in words for the settings page: nothing of it is in them."""


def check_auth(auth: Any) -> None:
    """Raise ValidationError for anything but references that go together. No value is in what it says."""
    if not isinstance(auth, dict) or not all(
        isinstance(value, str) and 0 < len(value) <= 500 for value in auth.values()
    ):
        raise ValidationError("`auth` is an object of texts of up to 500 characters.")
    fault = next(_faults(auth), "")
    if fault:
        raise ValidationError(fault)


def _faults(auth: dict[str, str]) -> Iterator[str]:
    if not KEYS.issuperset(auth):
        yield f"`auth` has only the keys {', '.join(sorted(KEYS))}: it says where a secret is, never what it is."
    given = {kind: [key for key in (f"{kind}_env", f"{kind}_file") if key in auth] for kind in ("token", "password")}
    if any(len(keys) > 1 for keys in given.values()):
        yield "A secret is in the environment or in a file, not in both."
    if any(not _ENVIRONMENT.fullmatch(auth.get(f"{kind}_env", "A")) for kind in given):
        yield "A variable is what follows HELIOGRAPH_SCRAPE_SECRET_: capitals, digits and _."
    if bool(given["password"]) != ("username" in auth) or ":" in auth.get("username", ""):
        yield "A username without a colon and a password go together."
    if given["password"] and given["token"]:
        yield "It is a token or a username with a password, not both."
    if "key_file" in auth and "cert_file" not in auth:
        yield "`key_file` is the key of a `cert_file`."
    if any(not Path(auth[key]).is_absolute() or "\0" in auth[key] for key in FILES if key in auth):
        yield "A file is named by its whole path."
    if not _NAME.fullmatch(auth.get("server_name", "a")):
        yield "`server_name` is the name in the target's certificate."


@dataclass(frozen=True, slots=True)
class Credentials:
    """References of a target; equal ones are the same target's. `environment` has the secrets that are no files."""

    references: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def get(self, key: str) -> str:
        """Return a reference, or ''."""
        return dict(self.references).get(key, "")

    def headers(self) -> dict[str, str]:
        """Return what a request says of who asks. Raises CredentialError."""
        token = self._secret("token")
        if token:
            return {"authorization": f"Bearer {token}"}
        if self.get("username"):
            pair = f"{self.get('username')}:{self._secret('password')}".encode()
            return {"authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
        return {}

    def context(self) -> ssl.SSLContext | None:
        """Return how TLS is spoken, or None for the usual way. Raises CredentialError."""
        paths = tuple(self.get(key) for key in TLS)
        if not any(paths):
            return None
        try:
            stamps = tuple(Path(path).stat().st_mtime_ns if path else 0 for path in paths)
            return _context(paths, stamps)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise CredentialError("The certificates for this target cannot be read or do not fit together.") from error

    def _secret(self, kind: str) -> str:
        name, path = self.get(f"{kind}_env"), self.get(f"{kind}_file")
        if name:
            secret = self.environment.get(name, "")
        elif path:
            try:
                with Path(path).open("rb") as file:
                    secret = file.read(MAX_SECRET_BYTES + 1).decode("utf-8").strip()
            except (OSError, ValueError) as error:
                raise CredentialError(f"The file with the {kind} for this target cannot be read.") from error
        else:
            return ""
        if not secret or len(secret) > MAX_SECRET_BYTES:
            raise CredentialError(f"The {kind} for this target is not set, or is longer than any.")
        if kind == "token" and not _PRINTABLE.fullmatch(secret):
            # It would be a header of several lines, or none.
            raise CredentialError("The token for this target has characters that no token has.")
        return secret


@lru_cache(maxsize=128)
def _context(paths: tuple[str, ...], stamps: tuple[int, ...]) -> ssl.SSLContext:
    """Read certificates; `stamps` make changed ones another question. Reading all public ones takes 20 ms."""
    authority, certificate, key = paths
    # Who names an authority means that one alone: no public one may vouch for a target of a private network.
    context = ssl.create_default_context(cafile=authority) if authority else httpx.create_ssl_context(trust_env=False)
    if certificate:
        # A key with a password would ask for it at the terminal.
        context.load_cert_chain(certificate, key or None, password="")
    return context
