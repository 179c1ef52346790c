"""Structured logs: one event a line, for people on a terminal or as JSON for machines."""

import logging.config
import re
from typing import Any

import structlog

# structlog's own default shows every frame's local variables: API keys, passwords and people's texts.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False),
)


def _without_request(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Drop the request that Django attaches: its query string may hold a one-time link or what somebody searched."""
    event.pop("request", None)
    return event


# Whoever has the last part of such an address gets in by it: all that have a `token` in dashboards/urls.py.
_LINK = re.compile(r"(/(?:invitations|login/reset|security/address)/)[^\s/?\"']+")


def _without_links(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Cut the link out of a line that names its address, as Django's line of a refused form does."""
    if isinstance(event.get("event"), str):
        event["event"] = _LINK.sub(r"\1…", event["event"])
    return event


def configure(options: dict[str, Any]) -> None:
    """Set up the standard library's logging so that every library's lines come out in one shape.

    `options` holds `format` ("console" or "json") and `level`.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _without_request,
        _without_links,
    ]
    if options["format"] == "json":
        render: list[Any] = [_TRACEBACKS, structlog.processors.JSONRenderer()]
    else:
        render = [
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": {
                # One line a request is the proxy's business; errors still come through.
                "uvicorn.access": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},
                # Three lines a login otherwise.
                "axes": {"level": "WARNING"},
                # A refused connection is reported by whoever asked, in one line and not with every local variable.
                "clickhouse_driver.connection": {"level": "ERROR"},
            },
        }
    )
