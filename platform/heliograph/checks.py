"""System checks: a bad setting is explained before the first request."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from heliograph import env


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
