"""What is entered of a webhook; its secrets are made here."""

import base64
import secrets

from heliograph.alerts.transports.field import Field, address

FIELDS = (
    Field("url", "Address", "A POST goes there, and has to be answered with a status of 200 to 299.", check=address),
    Field("signing_secret", "Signing secret", "Made for you and shown once.", is_secret=True, is_optional=True),
    # Signs too for as long as receivers may still have it.
    Field("old_signing_secret", "Former signing secret", is_secret=True, is_optional=True),
)


def new_secret() -> str:
    """Return a signing secret: 32 random bytes, as the standard writes them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
