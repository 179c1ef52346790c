"""Where a request comes from, the same for limits of tries, sessions and the audit log."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str:
    """Return the address of who asks; '' where there is none.

    X-Forwarded-For is anybody's word but for what one's own proxies add at its end: of as many as
    HELIOGRAPH_TRUSTED_PROXIES says there are, the first added the sender's address.
    """
    if settings.TRUSTED_PROXIES:
        hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        if len(hops) >= settings.TRUSTED_PROXIES and (address := _address(hops[-settings.TRUSTED_PROXIES])):
            return address
    return _address(request.META.get("REMOTE_ADDR", ""))


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""
