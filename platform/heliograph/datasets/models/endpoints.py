"""Where experiments send their rows."""

from django.core.exceptions import ValidationError
from django.db import models

from heliograph.accounts.models import Project
from heliograph.accounts.secrets import SecretField
from heliograph.net.outgoing import InvalidAddressError, check_address


class Endpoint(models.Model):
    """An OpenAI-compatible server that a project may call."""

    MOST = 50

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="endpoints")
    name = models.CharField(max_length=100)
    base_url = models.CharField(max_length=500, help_text="Ends before /chat/completions, such as https://host/v1.")
    api_key = SecretField(blank=True, default="", help_text="Encrypted; empty where the server needs none.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_endpoint_of_a_name")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what is no address of a server."""
        self.base_url = self.base_url.strip().rstrip("/").removesuffix("/chat/completions")
        try:
            parsed = check_address(self.base_url)
        except InvalidAddressError as error:
            raise ValidationError({"base_url": str(error)}) from error
        if parsed.query or parsed.fragment:
            raise ValidationError({"base_url": "The address ends before /chat/completions and has neither ? nor #."})
