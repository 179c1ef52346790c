"""System checks: a bad setting is explained before the first request."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from heliograph import env
from heliograph.accounts import saml
from heliograph.accounts.roles import Role
from heliograph.accounts.secrets import MAX_KEYS
from heliograph.clickhouse.cluster import Topology

# A key derivation of random text is quick on purpose; a short passphrase could be tried out.
MIN_SECRET_CHARACTERS = 32
# /metrics is asked without a limit of tries: a token has to be out of reach of guessing.
MIN_TOKEN_CHARACTERS = 16


@register
def environment_is_usable(**_: Any) -> list[CheckMessage]:
    """heliograph.E001: an environment variable holds a value that cannot be used."""
    return [Error(problem.message, hint=problem.hint, id="heliograph.E001") for problem in env.PROBLEMS]


@register
def data_folder_is_writable(**_: Any) -> list[CheckMessage]:
    """heliograph.E002: the data folder cannot be written."""
    probe = Path(settings.DATA_DIR) / ".writable"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        return [
            Error(
                f"The data folder {settings.DATA_DIR} cannot be written: {error}",
                hint="Set HELIOGRAPH_DATA_DIR to a folder that this user may write.",
                id="heliograph.E002",
            )
        ]
    return []


@register
def keyless_ingest_stays_local(**_: Any) -> list[CheckMessage]:
    """heliograph.W001: anybody who reaches the port may write into the default project."""
    if settings.ALLOW_KEYLESS_INGEST and not settings.IS_LOOPBACK_ONLY:
        return [
            checks.Warning(
                f"Exports without an API key are accepted on {settings.HOST}.",
                hint="Unset HELIOGRAPH_ALLOW_KEYLESS_INGEST, or bind HELIOGRAPH_HOST to 127.0.0.1.",
                id="heliograph.W001",
            )
        ]
    return []


@register
def caps_fit_each_other(**_: Any) -> list[CheckMessage]:
    """heliograph.E003: a body could pass the first cap and never the second."""
    if settings.MAX_DECOMPRESSED_BYTES < settings.MAX_BODY_BYTES:
        return [
            Error(
                "HELIOGRAPH_MAX_DECOMPRESSED_BYTES is smaller than HELIOGRAPH_MAX_BODY_BYTES.",
                hint="A decompressed body is never smaller than the cap on the compressed one: raise the former.",
                id="heliograph.E003",
            )
        ]
    return []


@register
def secret_keys_are_long(**_: Any) -> list[CheckMessage]:
    """heliograph.E004: a passphrase that can be guessed, or more of them than are used."""
    if len(settings.SECRET_KEYS) > MAX_KEYS or any(len(each) < MIN_SECRET_CHARACTERS for each in settings.SECRET_KEYS):
        return [
            Error(
                f"HELIOGRAPH_SECRET_KEYS takes {MAX_KEYS} passphrases of {MIN_SECRET_CHARACTERS} characters or more.",
                hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'",
                id="heliograph.E004",
            )
        ]
    return []


@register
def centre_is_an_address(**_: Any) -> list[CheckMessage]:
    """heliograph.E005: an edge collector would keep everything for a centre that is nowhere."""
    parts = urlsplit(settings.FORWARD_TO)
    if settings.FORWARD_TO and not (parts.scheme in {"http", "https"} and parts.hostname):
        return [
            Error(
                f"HELIOGRAPH_FORWARD_TO is no http or https address: {settings.FORWARD_TO}",
                hint="Give the centre's OTLP/HTTP address, such as https://heliograph.example.com.",
                id="heliograph.E005",
            )
        ]
    return []


@register
def metrics_token_is_long(**_: Any) -> list[CheckMessage]:
    """heliograph.E006: a token that can be guessed would open /metrics to everybody."""
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < MIN_TOKEN_CHARACTERS:
        return [
            Error(
                f"HELIOGRAPH_METRICS_TOKEN has fewer than {MIN_TOKEN_CHARACTERS} characters.",
                hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
                id="heliograph.E006",
            )
        ]
    return []


@register
def single_sign_on_is_whole(**_: Any) -> list[CheckMessage]:
    """heliograph.E007: a button that leads nowhere, or groups that give a role that there is not."""
    found = []
    parts = urlsplit(settings.OIDC_ISSUER)
    if settings.OIDC_ISSUER and not (parts.scheme in {"http", "https"} and parts.hostname and settings.OIDC_CLIENT_ID):
        found.append("HELIOGRAPH_OIDC_ISSUER needs an http or https address, and HELIOGRAPH_OIDC_CLIENT_ID.")
    roles = {role for places in settings.OIDC_GROUP_ROLES.values() for role in places.values()}
    if unknown := sorted(roles - set(Role.values)):
        found.append(f"HELIOGRAPH_OIDC_GROUP_ROLES names roles that there are not: {', '.join(unknown)}.")
    return [Error(each, hint="docs/people.md has an example.", id="heliograph.E007") for each in found]


@register
def cluster_is_one(**_: Any) -> list[CheckMessage]:
    """heliograph.E010: tables cannot be made on a cluster that has no name, or that is the embedded store."""
    hint = "docs/deploy/cluster.md has an example."
    try:
        Topology(settings.CLICKHOUSE_CLUSTER, settings.CLICKHOUSE_SHARDED)
    except ValueError as error:
        return [Error(str(error), hint=hint, id="heliograph.E010")]
    if settings.CLICKHOUSE_CLUSTER and settings.EMBEDDED_STORE:
        message = "HELIOGRAPH_CLICKHOUSE_CLUSTER needs HELIOGRAPH_CLICKHOUSE_URL: the embedded store is one server."
        return [Error(message, hint=hint, id="heliograph.E010")]
    return []


@register
def cold_bucket_is_used(**_: Any) -> list[CheckMessage]:
    """heliograph.W002: old weeks stay on the disk of a ClickHouse server, whose administrator says where they go."""
    if settings.COLD_BUCKET and not (settings.EMBEDDED_STORE or settings.COLD_POLICY):
        return [
            checks.Warning(
                "HELIOGRAPH_COLD_BUCKET is of the embedded store: on a ClickHouse server it moves nothing.",
                hint="Name the server's storage policy in HELIOGRAPH_COLD_POLICY (docs/retention.md), or unset it.",
                id="heliograph.W002",
            )
        ]
    return []


@register
def saml_is_whole(**_: Any) -> list[CheckMessage]:
    """heliograph.E008: a provider of SAML that cannot be asked, or is not the only one."""
    told = env.starting_with("HELIOGRAPH_SAML_").items()
    is_meant = any(value and name.startswith(("METADATA", "IDP_")) for name, value in told)
    if not (is_meant or saml.is_set()):
        return []
    if find_spec("onelogin") is None:
        return [Error("SAML needs its packages.", hint="pip install 'heliograph[saml]'", id="heliograph.E008")]
    found = ["OpenID Connect is set too: one provider gives the roles."] if settings.OIDC_ISSUER else []
    try:
        saml.library_settings()
    except saml.SamlError as error:
        found.append(f"{error}.")
    hint = (
        "HELIOGRAPH_SAML_METADATA_FILE names a file with the provider's metadata; without it, set "
        "HELIOGRAPH_SAML_IDP_ENTITY_ID, _SSO_URL and _CERTIFICATE. None of them: no SAML."
    )
    return [Error(f"HELIOGRAPH_SAML: {each}", hint=hint, id="heliograph.E008") for each in found]
