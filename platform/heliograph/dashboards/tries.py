"""Tries of a page, of which there are so many in a time: counted by allauth, for all web processes together."""

from allauth.core.internal import ratelimit
from django.http import HttpRequest, HttpResponse


def too_many(request: HttpRequest, action: str, rate: str, *, also_get: bool = False) -> HttpResponse | None:
    """Count a try, and return the page that says to wait where there were enough; None where it may go on.

    `rate` is of an address or of who is signed in, such as "30/m/ip" or "10/10m/user". Looking is no try without
    `also_get`.
    """
    answer: HttpResponse | None = ratelimit.consume_or_429(
        request, app="heliograph", action=action, config={action: rate}, limit_get=also_get
    )
    return answer
