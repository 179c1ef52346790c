"""What is entered of Discord."""

from heliograph.alerts.transports.field import Field, address

FIELDS = (
    Field("url", "Webhook", "https://discord.com/api/webhooks/… Whoever knows it may post.", True, check=address),
)
