"""Sends blocks, and a plain text for notifications."""

from collections.abc import Mapping
from typing import Any

from heliograph.alerts.transports.message import Message
from heliograph.alerts.transports.outcome import Outcome
from heliograph.alerts.transports.post import as_body, post

# Slack refuses longer headers.
_MAX_HEADER = 150


def deliver(config: Mapping[str, str], message: Message) -> Outcome:
    """Send."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": message.title[:_MAX_HEADER], "emoji": True}},
        {"type": "section", "text": {"type": "mrkdwn", "text": escaped(message.text) or " "}},
    ]
    if message.url:
        link = f"<{message.url}|Open in Heliograph> · {escaped(message.project)} · {message.severity}"
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": link}]})
    return post(config["url"], as_body({"text": escaped(message.title), "blocks": blocks}))


def escaped(text: str) -> str:
    """Return a text in which nothing mentions anybody or becomes a link of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
