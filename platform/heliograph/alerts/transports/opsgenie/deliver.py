"""Creates and closes an alert for each of ours, found again by its alias."""

from collections.abc import Mapping

from heliograph.alerts.transports.message import Message
from heliograph.alerts.transports.outcome import Outcome
from heliograph.alerts.transports.post import as_body, post

ENDPOINTS = {"us": "https://api.opsgenie.com/v2/alerts", "eu": "https://api.eu.opsgenie.com/v2/alerts"}
_PRIORITIES = {"critical": "P1", "warning": "P3", "info": "P5"}
_MAX_MESSAGE, _MAX_ALIAS = 130, 512


def deliver(config: Mapping[str, str], message: Message) -> Outcome:
    """Send."""
    url, alias = ENDPOINTS[config.get("region", "us")], message.key[:_MAX_ALIAS]
    headers = {"authorization": f"GenieKey {config['api_key']}"}
    if message.state == "resolved":
        closing = {"source": "Heliograph", "note": message.title}
        return post(f"{url}/{alias}/close?identifierType=alias", as_body(closing), headers)
    alert = {
        "message": message.title[:_MAX_MESSAGE],
        "alias": alias,
        "description": f"{message.text}\n\n{message.url}",
        "priority": _PRIORITIES[message.severity],
        "source": "Heliograph",
        "entity": message.project,
    }
    return post(url, as_body(alert), headers)
