"""Sends an embed; mentions nobody, whatever a label says."""

from collections.abc import Mapping
from typing import Any

from heliograph.alerts.transports.message import Message
from heliograph.alerts.transports.outcome import Outcome
from heliograph.alerts.transports.post import as_body, post

_COLORS = {"firing": 0xD03B3B, "resolved": 0x2E8B57, "info": 0x4A6FA5}


def deliver(config: Mapping[str, str], message: Message) -> Outcome:
    """Send."""
    embed: dict[str, Any] = {
        "title": message.title,
        "description": message.text,
        "color": _COLORS[message.state],
        "timestamp": message.payload["timestamp"],
        "footer": {"text": f"{message.project} · {message.severity}"},
    }
    if message.url:
        embed["url"] = message.url
    return post(config["url"], as_body({"embeds": [embed], "allowed_mentions": {"parse": []}}))
