"""Sends a plain text; its Message-ID is the message's, by which a mailbox tells a duplicate."""

import smtplib
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage

from heliograph.alerts.transports.email.fields import recipients
from heliograph.alerts.transports.message import Message
from heliograph.alerts.transports.outcome import Outcome


def deliver(config: Mapping[str, str], message: Message) -> Outcome:
    """Send."""
    if not settings.EMAIL_HOST:
        return Outcome(is_delivered=False, error="This installation has no mail server: set HELIOGRAPH_SMTP_HOST.")
    begun = time.monotonic()
    mail = EmailMessage(
        subject=" ".join(message.title.split()),  # a line break in a subject is refused
        body=f"{message.text}\n\n{message.url}\n",
        to=recipients(config["to"]),
        headers={"Message-ID": f"<{message.id}@{urlsplit(settings.BASE_URL).hostname}>"},
    )
    try:
        mail.send()
    except (smtplib.SMTPException, OSError) as error:
        # Of the server's words only the code: they may repeat what was sent.
        code = f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
        why = f"The mail server did not take it ({type(error).__name__}{code})."
        return Outcome(is_delivered=False, error=why, seconds=time.monotonic() - begun)
    return Outcome(is_delivered=True, seconds=time.monotonic() - begun)
