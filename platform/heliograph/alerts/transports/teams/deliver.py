"""Sends an Adaptive Card."""

from collections.abc import Mapping
from typing import Any

from heliograph.alerts.transports.message import Message
from heliograph.alerts.transports.outcome import Outcome
from heliograph.alerts.transports.post import as_body, post

_COLORS = {"firing": "Attention", "resolved": "Good", "info": "Default"}


def deliver(config: Mapping[str, str], message: Message) -> Outcome:
    """Send."""
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {
                "type": "TextBlock",
                "text": message.title,
                "weight": "Bolder",
                "size": "Medium",
                "wrap": True,
                "color": _COLORS[message.state],
            },
            # A single line break is none in a card's Markdown.
            {"type": "TextBlock", "text": message.text.replace("\n", "\n\n"), "wrap": True},
            {"type": "TextBlock", "text": f"{message.project} · {message.severity}", "isSubtle": True, "wrap": True},
        ],
    }
    if message.url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open in Heliograph", "url": message.url}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return post(config["url"], as_body({"type": "message", "attachments": [attachment]}))
