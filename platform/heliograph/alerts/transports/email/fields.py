"""What is entered of e-mail."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from heliograph.alerts.transports.field import Field

MAX_RECIPIENTS = 20


def recipients(value: str) -> list[str]:
    """Return the addresses of a comma-separated text. Raises ValueError."""
    found = [address.strip() for address in value.split(",") if address.strip()]
    if not 1 <= len(found) <= MAX_RECIPIENTS:
        raise ValueError(f"takes 1 to {MAX_RECIPIENTS} addresses")
    for address in found:
        try:
            validate_email(address)
        except ValidationError as error:
            raise ValueError(f"{address} is no e-mail address") from error
    return found


def _check(value: str) -> None:
    recipients(value)


FIELDS = (Field("to", "To", "Comma-separated.", check=_check),)
