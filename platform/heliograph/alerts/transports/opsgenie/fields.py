"""What is entered of Opsgenie."""

from heliograph.alerts.transports.field import Field, token

FIELDS = (
    Field("api_key", "API key", "Of an API integration that may create and close alerts.", True, check=token),
    Field("region", "Region", "us where it is left out.", is_optional=True, choices=("us", "eu")),
)
