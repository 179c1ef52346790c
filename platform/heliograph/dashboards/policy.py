"""What a page may load and run: only what this server sends as a file of its own."""

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

# Telemetry is text of strangers. Should some of it ever get into a page as markup, it runs no script, loads nothing
# from elsewhere and sends nothing there. Attributes of style place the bars of a waterfall; a style element is refused.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


class ContentPolicy(MiddlewareMixin):
    """Adds the policy to every answer that has none of its own."""

    def process_response(self, _request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Add the header."""
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response
