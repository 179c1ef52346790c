"""What can go wrong inside the embedded server, and what of it a client is told.

ServerError          an exception packet; the connection goes on
  EngineError        the engine's own code and text, unchanged
ProtocolError        the byte stream cannot be followed any more: told, then closed
ClientGoneError           nobody is left to tell
"""

import re

# ClickHouse's own numbers, for the few failures that this server finds itself.
NOT_IMPLEMENTED = 48
UNKNOWN_TYPE = 50
UNKNOWN_PACKET = 99
UNEXPECTED_PACKET = 101
TIMEOUT_EXCEEDED = 159
TOO_MANY_CONNECTIONS = 202
TOO_LARGE = 469  # VIOLATED_CONSTRAINT has no better neighbour: the packet breaks a limit of this server
AUTHENTICATION_FAILED = 516
UNKNOWN_EXCEPTION = 1002

QUERY_WAS_CANCELLED = 394

_ENGINE_TEXT = re.compile(r"Code: (?P<code>\d+)\. (?P<text>DB::.*)", re.DOTALL)


class ServerError(Exception):
    """A failure the client learns of as a ClickHouse exception packet."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class EngineError(ServerError):
    """A failure the engine reported."""

    @classmethod
    def from_text(cls, message: str) -> "EngineError":
        """Read ClickHouse's code out of chDB's message, which is all that chDB gives."""
        match = _ENGINE_TEXT.search(message)
        if match is None:
            return cls(UNKNOWN_EXCEPTION, message)
        return cls(int(match["code"]), match["text"])


class ProtocolError(ServerError):
    """The client sent something after which the stream cannot be followed."""


class ClientGoneError(Exception):
    """The client closed its end."""
