"""What can go wrong at the store, as the rooms above see it.

    StoreError
      Retryable               the same call may succeed later
        UnavailableError      nobody answers, or the server says that it cannot serve now
        CapacityError         a limit of time, memory, parts or concurrency was met
      Permanent               the same call fails again
        UserError             the caller's values, filter or time range cannot be used
        AccessError           wrong password or missing right
        DefectError           our SQL, our schema, or damaged data

Each code of ClickHouse belongs to one of them; a code that is not listed is a DefectError, because sending the same
again to a server that refused it for an unknown reason would block everything behind it.
"""

import struct

from clickhouse_driver import errors as driver


class StoreError(Exception):
    """A failure at the store. `code` is ClickHouse's, or None where no server was reached; `str` is for logs."""

    # What a page may show: no SQL, no table name, no address.
    user_text = "The store could not answer."

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Retryable(StoreError):  # noqa: N818  # the pair Retryable and Permanent is the contract of every room
    """The same call may succeed later."""


class UnavailableError(Retryable):
    user_text = "The store cannot be reached at the moment."


class CapacityError(Retryable):
    user_text = "The question took more time or memory than it may; try a shorter time range."


class Permanent(StoreError):  # noqa: N818  # see Retryable
    """The same call fails again."""


class UserError(Permanent):
    user_text = "A value or filter cannot be used."


class AccessError(Permanent):
    user_text = "The store refused the login of this installation."


class DefectError(Permanent):
    user_text = "The store could not answer because of a fault in Heliograph."


# Names as in clickhouse-driver's `ErrorCodes`, and below numbers that its list does not have.
_NAMES: dict[type[StoreError], tuple[str, ...]] = {
    UnavailableError: (
        *("NETWORK_ERROR", "SOCKET_TIMEOUT", "DNS_ERROR", "ATTEMPT_TO_READ_AFTER_EOF", "UNEXPECTED_END_OF_FILE"),
        *("CANNOT_READ_FROM_SOCKET", "CANNOT_WRITE_TO_SOCKET", "ALL_CONNECTION_TRIES_FAILED", "NO_FREE_CONNECTION"),
        *("UNEXPECTED_PACKET_FROM_SERVER", "UNKNOWN_PACKET_FROM_SERVER", "CHECKSUM_DOESNT_MATCH"),
        *("TABLE_IS_READ_ONLY", "TABLE_IS_DROPPED", "DDL_GUARD_IS_ACTIVE", "SESSION_IS_LOCKED", "ABORTED"),
        *("QUERY_WAS_CANCELLED", "UNFINISHED", "PART_IS_TEMPORARILY_LOCKED", "CANNOT_FSYNC", "CANNOT_STATVFS"),
        *("NO_ZOOKEEPER", "KEEPER_EXCEPTION", "UNEXPECTED_ZOOKEEPER_ERROR", "BARRIER_TIMEOUT"),
        *("LEADERSHIP_LOST", "LEADERSHIP_CHANGED", "REPLICA_IS_NOT_IN_QUORUM", "REPLICA_IS_ALREADY_ACTIVE"),
        *("TOO_LESS_LIVE_REPLICAS", "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", "UNKNOWN_STATUS_OF_INSERT"),
        *("ALL_REPLICAS_ARE_STALE", "NO_AVAILABLE_REPLICA", "NO_ACTIVE_REPLICAS", "NO_REPLICA_HAS_PART"),
        *("SHARD_HAS_NO_CONNECTIONS", "NO_REMOTE_SHARD_FOUND", "RECEIVED_ERROR_FROM_REMOTE_IO_SERVER"),
        # Files, sockets and memory of the server's host.
        *("POCO_EXCEPTION", "STD_EXCEPTION", "UNKNOWN_EXCEPTION"),
        *("CANNOT_OPEN_FILE", "CANNOT_WRITE_TO_FILE_DESCRIPTOR", "CANNOT_CLOSE_FILE", "CANNOT_CREATE_DIRECTORY"),
    ),
    CapacityError: (
        *("TIMEOUT_EXCEEDED", "TOO_SLOW", "MEMORY_LIMIT_EXCEEDED", "CANNOT_ALLOCATE_MEMORY", "CANNOT_MREMAP"),
        *("TOO_MANY_SIMULTANEOUS_QUERIES", "TOO_MANY_PARTS", "TOO_MANY_UNEXPECTED_DATA_PARTS", "NOT_ENOUGH_SPACE"),
        *("QUOTA_EXPIRED", "LIMIT_EXCEEDED", "TOO_MANY_ROWS", "TOO_MANY_BYTES", "TOO_MANY_ROWS_OR_BYTES"),
        *("SET_SIZE_LIMIT_EXCEEDED", "RECEIVED_ERROR_TOO_MANY_REQUESTS", "CANNOT_FORK", "CANNOT_PIPE"),
    ),
    UserError: (
        *("CANNOT_PARSE_TEXT", "CANNOT_PARSE_DATE", "CANNOT_PARSE_DATETIME", "CANNOT_PARSE_NUMBER"),
        *("CANNOT_PARSE_UUID", "CANNOT_PARSE_QUOTED_STRING", "CANNOT_PARSE_ESCAPE_SEQUENCE", "CANNOT_CONVERT_TYPE"),
        *("ARGUMENT_OUT_OF_BOUND", "PARAMETER_OUT_OF_BOUND", "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE"),
        *("TOO_LARGE_STRING_SIZE", "TOO_LARGE_ARRAY_SIZE", "TYPE_MISMATCH", "SIZES_OF_COLUMNS_DOESNT_MATCH"),
        *("SIZES_OF_ARRAYS_DOESNT_MATCH", "SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT"),
        *("QUERY_IS_TOO_LARGE", "TOO_BIG_AST", "TOO_DEEP_AST", "TOO_DEEP_RECURSION", "INCORRECT_DATA"),
    ),
    AccessError: (
        *("UNKNOWN_USER", "WRONG_PASSWORD", "REQUIRED_PASSWORD", "IP_ADDRESS_NOT_ALLOWED"),
        *("READONLY", "DATABASE_ACCESS_DENIED", "QUERY_IS_PROHIBITED"),
    ),
}
_NUMBERS: dict[type[StoreError], tuple[int, ...]] = {
    UnavailableError: (425, 439, 473, 499),  # SYSTEM_ERROR CANNOT_SCHEDULE_TASK DEADLOCK_AVOIDED S3_ERROR
    CapacityError: (469, 733),  # VIOLATED_CONSTRAINT of the embedded server's packet limits; MEMORY_RESERVATION_KILLED
    UserError: (407, 427),  # DECIMAL_OVERFLOW CANNOT_COMPILE_REGEXP
    AccessError: (497, 516),  # ACCESS_DENIED AUTHENTICATION_FAILED
}
CLASS_BY_CODE: dict[int, type[StoreError]] = {
    **{getattr(driver.ErrorCodes, name): kind for kind, names in _NAMES.items() for name in names},
    **{number: kind for kind, numbers in _NUMBERS.items() for number in numbers},
}


def from_foreign(error: Exception) -> StoreError:
    """Return our error for one that clickhouse-driver, the socket or the packing of values raised."""
    if isinstance(error, driver.Error):
        code = error.code
        kind = CLASS_BY_CODE.get(code, DefectError) if code is not None else DefectError
        # clickhouse-driver leaves "Stack trace:" behind a text that has none.
        message = str(error.message or error).partition(" Stack trace:")[0].strip()
        return kind(message, code)
    if isinstance(error, (EOFError, OSError)):
        return UnavailableError(f"The connection to the store broke: {error!r}")
    if isinstance(error, (UnicodeError, struct.error, TypeError, ValueError, AttributeError, ArithmeticError)):
        # What the columns of clickhouse-driver raise on a value that does not fit its type.
        return UserError(f"A value does not fit its column: {error!r}")
    raise error
