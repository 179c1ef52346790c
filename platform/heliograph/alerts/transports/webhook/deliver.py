"""Sends the payload as it is, with an id by which a receiver tells a duplicate, a time, and a signature."""

from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook

from heliograph.alerts.transports.message import Message
from heliograph.alerts.transports.outcome import Outcome
from heliograph.alerts.transports.post import as_body, post


def deliver(config: Mapping[str, str], message: Message) -> Outcome:
    """Send; the time and so the signature are those of this try, the id is the message's."""
    body, now = as_body(message.payload), datetime.now(UTC)
    secrets = [config[name] for name in ("signing_secret", "old_signing_secret") if name in config]
    signatures = [Webhook(secret).sign(message.id, now, body.decode()) for secret in secrets]
    headers = {
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    return post(config["url"], body, headers)
