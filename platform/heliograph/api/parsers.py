"""JSON bodies with a cap."""

import io
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import APIException
from rest_framework.parsers import JSONParser


class TooLarge(APIException):
    """The body is beyond the cap."""

    status_code = 413
    default_detail = "The body is too large: send it in parts."


class BoundedJSONParser(JSONParser):
    """Reads at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes, whatever the request's length says."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the decoded body. Raises TooLarge, or ParseError for what is no JSON (NaN is none)."""
        body = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise TooLarge
        return super().parse(io.BytesIO(body), media_type, parser_context)
