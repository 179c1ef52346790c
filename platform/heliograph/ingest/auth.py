"""Whose data is this: an API key, or on one's own machine none, to a project."""

import asyncio
import base64
import functools
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.http.request import split_domain_port, validate_host

from heliograph.accounts.bootstrap import DEFAULT_PROJECT_SLUG
from heliograph.accounts.limits import EffectiveLimits, effective_limits
from heliograph.accounts.models import ApiKey, Project
from heliograph.accounts.permissions import capabilities_of_key
from heliograph.accounts.roles import Capability
from heliograph.ingest.refusals import Busy, Forbidden, Unauthenticated

# A revoked key works for so long at most; without the cache every request would ask the database.
CACHE_SECONDS = 10.0
# An entry is about 500 bytes, and guessed keys fill the cache too.
CACHE_ENTRIES = 10_000
# Ours have 46 characters.
MAX_KEY_CHARS = 200
HINT = "send an API key of the project as 'Authorization: Bearer KEY' or 'x-api-key: KEY'"
_KEYLESS = ""
_OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Tenant:
    """The project that a request writes to, the days its rows are kept, and the key that opened it.

    `key_id` is 0 and `key_name` empty for a request without a key.
    """

    project_id: int
    retention_days: int
    key_id: int = 0
    key_name: str = ""
    limits: EffectiveLimits = field(default_factory=EffectiveLimits)
    keep_dead_letters: bool = True
    may_send: bool = True
    # Of a request at an edge: the key itself and whence it came, for the centre to judge.
    secret: str = field(default="", repr=False)
    peer: str = ""


class KeyRing:
    """Remembers which key opens which project for CACHE_SECONDS, unknown keys included. For one event loop."""

    def __init__(self) -> None:
        # Two threads: look-ups are rare and short, and each thread keeps a database connection.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="keys")
        self._known: OrderedDict[str, tuple[float, asyncio.Future[Tenant | None]]] = OrderedDict()

    async def tenant(self, headers: Mapping[str, str], peer: str) -> Tenant:
        """Return the project of a request with these lower-case headers from the address `peer`.

        Raises Unauthenticated, Forbidden, or Busy where the metadata database does not answer.
        """
        key = key_of(headers)
        if not key:
            if not (settings.ALLOW_KEYLESS_INGEST and is_own_machine(headers, peer)):
                raise Unauthenticated(f"No API key: {HINT}.")
            digest = _KEYLESS
        elif not key.startswith(ApiKey.PREFIX) or len(key) > MAX_KEY_CHARS:
            raise Unauthenticated(f"The API key is not one of ours (they begin with {ApiKey.PREFIX}): {HINT}.")
        else:
            digest = ApiKey.digest_of(key)
        try:
            # Shielded: others may wait for the same look-up when this request is dropped.
            tenant = await asyncio.shield(self._look_up(digest, key))
        except DatabaseError as error:
            self._known.pop(digest, None)
            raise Busy("The API key cannot be checked now: the metadata database does not answer.") from error
        if tenant is None:
            raise Unauthenticated(
                "The project 'default' does not exist."
                if digest == _KEYLESS
                else f"Unknown, revoked or expired API key: {HINT}."
            )
        if not tenant.may_send:
            raise Forbidden(f"The API key {tenant.key_name} may not send telemetry: it lacks the scope 'ingest'.")
        return tenant

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _look_up(self, digest: str, key: str) -> "asyncio.Future[Tenant | None]":
        now = time.monotonic()
        expires, answer = self._known.get(digest, (0.0, None))
        if answer is None or expires < now:
            answer = asyncio.get_running_loop().run_in_executor(self._threads, functools.partial(_read, key))
            self._known[digest] = (now + CACHE_SECONDS, answer)
            self._known.move_to_end(digest)
            if len(self._known) > CACHE_ENTRIES:
                self._known.popitem(last=False)
        return answer


def key_of(headers: Mapping[str, str]) -> str:
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credential:
        return credential.strip()
    if scheme.lower() == "basic" and (password := _password_of(credential)).startswith(ApiKey.PREFIX):
        return password
    return headers.get("x-api-key", "").strip()


def _password_of(credential: str) -> str:
    """Return the password of Basic credentials, '' without one: Langfuse's SDK sends its secret key as that."""
    if len(credential) > 4 * MAX_KEY_CHARS:
        return ""
    try:
        return base64.b64decode(credential, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def is_own_machine(headers: Mapping[str, str], peer: str) -> bool:
    """Say whether the sender itself is on this machine: behind a proxy here, everybody's address is the proxy's."""
    if "x-forwarded-for" in headers or "forwarded" in headers:
        return False
    # A web page can point a name of its own at 127.0.0.1 (DNS rebinding); its requests then carry that name.
    host, _ = split_domain_port(headers.get("host", "localhost"))
    if not validate_host(host, [*_OWN_NAMES, *(name for name in settings.ALLOWED_HOSTS if name != "*")]):
        return False
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def _read(key: str) -> Tenant | None:
    close_old_connections()
    try:
        if not key:
            project = Project.objects.filter(slug=DEFAULT_PROJECT_SLUG).first()
            return _tenant(project, None) if project else None
        row = ApiKey.active(key)
        return _tenant(row.project, row) if row else None
    finally:
        close_old_connections()


def _tenant(project: Project, key: ApiKey | None) -> Tenant:
    return Tenant(
        project_id=project.pk,
        retention_days=project.effective_retention_days,
        key_id=key.pk if key else 0,
        key_name=str(key) if key else "",
        limits=effective_limits(key, project),
        keep_dead_letters=project.keep_dead_letters,
        may_send=key is None or Capability.SEND in capabilities_of_key(key),
    )
