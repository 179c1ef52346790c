"""What is entered of PagerDuty."""

from heliograph.alerts.transports.field import Field, token

FIELDS = (
    Field("routing_key", "Integration key", "Of an Events API v2 integration of the service.", True, check=token),
    Field("region", "Region", "us where it is left out.", is_optional=True, choices=("us", "eu")),
)
