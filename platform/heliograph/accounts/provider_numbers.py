"""What an account of an OpenID provider is found by: its issuer and the number of somebody there, together."""

import hashlib
import json
from typing import Final

from django.conf import settings

# A claim of ours, put in behind the provider's own, which allauth finds by its setting `uid_field`.
CLAIM: Final = settings.OIDC_NUMBER


def number_of(issuer: str, subject: str) -> str:
    """Return a number of 64 characters. `sub` alone is unique within an issuer only (OpenID Connect Core, 2)."""
    return hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()
