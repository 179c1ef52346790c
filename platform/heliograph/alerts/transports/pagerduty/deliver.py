"""Triggers and resolves an incident for each alert, found again by its key."""

from collections.abc import Mapping
from typing import Any

from heliograph.alerts.transports.message import Message
from heliograph.alerts.transports.outcome import Outcome
from heliograph.alerts.transports.post import as_body, post

ENDPOINTS = {
    "us": "https://events.pagerduty.com/v2/enqueue",
    "eu": "https://events.eu.pagerduty.com/v2/enqueue",
}
_MAX_SUMMARY = 1_024


def deliver(config: Mapping[str, str], message: Message) -> Outcome:
    """Send."""
    event: dict[str, Any] = {
        "routing_key": config["routing_key"],
        "event_action": "resolve" if message.state == "resolved" else "trigger",
        "dedup_key": message.key,
        "client": "Heliograph",
        "payload": {
            "summary": message.title[:_MAX_SUMMARY],
            "source": message.project,
            "severity": message.severity,
            "timestamp": message.payload["timestamp"],
            "custom_details": {"text": message.text, "data": message.payload["data"]},
        },
    }
    if message.url:
        event |= {"client_url": message.url, "links": [{"href": message.url, "text": "Open in Heliograph"}]}
    return post(ENDPOINTS[config.get("region", "us")], as_body(event))
