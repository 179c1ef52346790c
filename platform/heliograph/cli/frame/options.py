"""Options that many commands take."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from heliograph.cli.frame.api import Api
from heliograph.cli.frame.output import Output
from heliograph.cli.frame.profile import resolve

P = ParamSpec("P")
T = TypeVar("T")

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def json_option(function: Callable[P, T]) -> Callable[P, T]:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def asks_server(function: Callable[..., T]) -> Callable[..., T]:
    """Add `--url`, `--key`, `--profile` and `--json`; the function gets the API and the output first."""

    @click.option("--url", default="", help="The server's address; else HELIOGRAPH_URL, a profile, localhost:8000.")
    @click.option(
        "--key", default="", help="The project's key, better as HELIOGRAPH_API_KEY: options show in process lists."
    )
    @click.option("--profile", default="", help="A profile of `heliograph profile`; else HELIOGRAPH_PROFILE.")
    @json_option
    @wraps(function)
    def with_server(*args: Any, **kwargs: Any) -> T:
        names = {"url": "url", "key": "key", "profile": "name"}
        profile = resolve(**{to: str(kwargs.pop(name)) for name, to in names.items()})
        output = Output(as_json=bool(kwargs.pop("as_json")))
        with Api(profile) as api:
            return function(api, output, *args, **kwargs)

    return with_server


class Moment(click.ParamType[datetime]):
    """A time: RFC 3339, a date, or how long ago, such as 90m, 24h or 7d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return a UTC time; a time without an offset is UTC."""
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value)
        try:
            if ago:
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            moment = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; give 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def time_range(function: Callable[..., T]) -> Callable[..., T]:
    """Add `--since` and `--until`; the function gets `span`, the parameters `start` and `end` of the API.

    Both are fixed once, so that all pages of a list are pages of one range.
    """

    @click.option("--since", type=Moment(), default="24h", show_default=True, help="From then on: 90m, 7d, a date.")
    @click.option("--until", type=Moment(), default="0s", help="Up to then; now without it.")
    @wraps(function)
    def with_range(*args: Any, since: datetime, until: datetime, **kwargs: Any) -> T:
        if since >= until:
            raise click.UsageError("--since must be before --until.")
        return function(*args, span={"start": since.isoformat(), "end": until.isoformat()}, **kwargs)

    return with_range


def limit_option(default: int = 50) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Add `--limit`; `heliograph export` is for more than it allows."""
    return click.option(
        "--limit", type=click.IntRange(1, 10_000), default=default, show_default=True, help="At most so many."
    )
