"""Why a request is not taken. The class decides the answer in both protocols; the text is for people.

Refusal
├── Unauthenticated        no key, or one that opens nothing
├── Forbidden              the key is for something else
├── UnsupportedContentType
├── UnsupportedEncoding
├── MalformedBody          the same bytes fail again: do not retry
├── TooLarge
├── TooSlow                the body did not arrive in time
├── Busy                   our own limits: the sender shall retry
├── Limited                the limits of the key: the sender shall retry when they allow it
└── NotStored              the store refuses the rows for good
"""

from http import HTTPStatus
from typing import ClassVar

from google.rpc import code_pb2  # type: ignore[import-untyped]  # published without types


class Refusal(Exception):  # noqa: N818  (it is an answer to the sender, not a fault of the program)
    """One refused request; `status` is the HTTP status, `code` the one of google.rpc.Code, `reason` a metric label."""

    status: ClassVar[HTTPStatus]
    code: ClassVar[int]
    reason: str
    # Seconds; None says that the same request fails again.
    retry_after: int | None = None

    @property
    def message(self) -> str:
        """What the sender is told."""
        return str(self.args[0])


class Unauthenticated(Refusal):
    """No key, or one that opens nothing."""

    status, code, reason = HTTPStatus.UNAUTHORIZED, code_pb2.UNAUTHENTICATED, "unauthenticated"


class Forbidden(Refusal):
    """A key that is good, and not for sending."""

    status, code, reason = HTTPStatus.FORBIDDEN, code_pb2.PERMISSION_DENIED, "forbidden"


class UnsupportedContentType(Refusal):
    """Neither protobuf nor JSON."""

    status, code, reason = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code_pb2.INVALID_ARGUMENT, "content_type"


class UnsupportedEncoding(Refusal):
    """A compression that is not spoken here."""

    status, code, reason = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code_pb2.INVALID_ARGUMENT, "content_encoding"


class MalformedBody(Refusal):
    """Nothing of the body can be read, and nothing of it is stored."""

    status, code, reason = HTTPStatus.BAD_REQUEST, code_pb2.INVALID_ARGUMENT, "malformed"


class TooLarge(Refusal):
    """Beyond a cap. In gRPC this code without RetryInfo means: do not retry."""

    status, code, reason = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, code_pb2.RESOURCE_EXHAUSTED, "too_large"


class TooSlow(Refusal):
    """The body did not arrive within the read deadline."""

    status, code, reason = HTTPStatus.REQUEST_TIMEOUT, code_pb2.DEADLINE_EXCEEDED, "too_slow"


class Busy(Refusal):
    """Too much is waiting, or neither the store nor the spool can take it: the sender shall come back."""

    status, code, reason = HTTPStatus.SERVICE_UNAVAILABLE, code_pb2.UNAVAILABLE, "busy"
    # Long enough to commit what waits, short enough to keep a sender's queue from overflowing.
    retry_after = 5


class Limited(Refusal):
    """A rate limit or quota of the key is used up."""

    status, code = HTTPStatus.TOO_MANY_REQUESTS, code_pb2.RESOURCE_EXHAUSTED

    def __init__(self, message: str, *, reason: str, retry_after: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after


class NotStored(Refusal):
    """The store refused these rows for good; nothing of the request is kept."""

    status, code, reason = HTTPStatus.INTERNAL_SERVER_ERROR, code_pb2.INTERNAL, "not_stored"
