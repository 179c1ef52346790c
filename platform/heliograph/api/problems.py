"""Every error of the API as problem details (RFC 9457), decided in one place.

InvalidFilterError, ValidationError, UserError   400, `errors` names the fields
no or wrong key                                  401
a unique constraint, of two at once              409: asked again, it says which field
a body over DATA_UPLOAD_MAX_MEMORY_SIZE          413
CapacityError by time or memory                  422: the question is too large, ask a smaller one
CapacityError otherwise, UnavailableError        503 with Retry-After
anything else of the store, and our own faults   500, the cause in the log only
"""

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import IntegrityError
from django.http import Http404
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotAuthenticated, NotFound, ValidationError
from rest_framework.exceptions import PermissionDenied as Forbidden
from rest_framework.response import Response

from heliograph.clickhouse.errors import CapacityError, StoreError, UnavailableError, UserError
from heliograph.query.filters import InvalidFilterError

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = "5"
# ClickHouse: TIMEOUT_EXCEEDED, TOO_SLOW, MEMORY_LIMIT_EXCEEDED, and the limits on rows and bytes read.
_TOO_LARGE_CODES = frozenset({159, 160, 241, 158, 307, 396, 191})

_HOW_TO_SIGN_IN = (
    "Send the project's API key as x-api-key or Authorization: Bearer; Settings in the web application makes one."
)

logger = logging.getLogger(__name__)


class FieldProblem(serializers.Serializer[Any]):
    """One part of the request that is at fault."""

    field = serializers.CharField()
    detail = serializers.CharField()


class Problem(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.CharField(default="about:blank")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment]  # a field, which the metaclass takes out of the class


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Return the problem that an exception of a view is; Django REST framework calls this."""
    if isinstance(error, InvalidFilterError):
        return problem(400, "A parameter cannot be used.", [{"field": error.field, "detail": error.message}])
    if isinstance(error, StoreError):
        return _of_store(error)
    if isinstance(error, (RequestDataTooBig, IntegrityError)):
        return _of_django(error)
    if isinstance(error, Http404):
        error = NotFound()
    elif isinstance(error, PermissionDenied):
        error = Forbidden()
    if isinstance(error, ValidationError):
        return problem(400, "The request is not valid.", list(_fields("", error.detail)))
    if isinstance(error, APIException):
        missing = isinstance(error, NotAuthenticated)
        response = problem(error.status_code, _HOW_TO_SIGN_IN if missing else str(error.detail))
        challenge = getattr(error, "auth_header", None)
        if challenge:
            response["WWW-Authenticate"] = challenge
        wait = getattr(error, "wait", None)
        if wait:
            response["Retry-After"] = str(int(wait))
        return response
    logger.error("A view failed", exc_info=error)
    return problem(500, "Heliograph failed; the log says why.")


def problem(status: int, detail: str, errors: list[dict[str, str]] | None = None) -> Response:
    """Return a problem response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return Response(body, status=status, content_type=CONTENT_TYPE)


def _of_django(error: RequestDataTooBig | IntegrityError) -> Response:
    if isinstance(error, RequestDataTooBig):
        return problem(413, "The body is too large: send it in parts.")
    logger.warning("Refused by the database, as of two at once", exc_info=error)
    return problem(409, "Somebody else changed the same at this moment: ask again.")


def _of_store(error: StoreError) -> Response:
    if isinstance(error, CapacityError) and error.code in _TOO_LARGE_CODES:
        return problem(422, error.user_text)
    if isinstance(error, (CapacityError, UnavailableError)):
        response = problem(503, error.user_text if isinstance(error, UnavailableError) else "The store is busy.")
        response["Retry-After"] = RETRY_SECONDS
        return response
    if isinstance(error, UserError):
        return problem(400, error.user_text)
    logger.error("The store refused a question", exc_info=error)
    return problem(500, error.user_text)


def _fields(path: str, detail: Any) -> Any:
    """Yield the leaves of a validation error with their paths, such as `scores.3.value`."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _fields(path if name == "non_field_errors" else f"{path}.{name}".lstrip("."), inner)
    elif isinstance(detail, list):
        for number, inner in enumerate(detail):
            nested = isinstance(inner, (dict, list))
            yield from _fields(f"{path}.{number}".lstrip(".") if nested else path, inner)
    else:
        yield {"field": path, "detail": str(detail)}
