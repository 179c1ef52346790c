"""How many messages a body holds, counted before it is parsed: an empty one takes two bytes there, and a hundred in
memory, so that a bound on bytes alone bounds no memory."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor

from collectors.otlp.errors import Malformed

# Smaller bodies cannot take more than about 400 MB, and nearly all are: they are not counted.
UNCOUNTED_BYTES = 4 << 20
# As many spans as one request may have, with forty attributes each (a pair and its value); at about 100 bytes each.
MAX_MESSAGES = 4_000_000

# By field number, what a message field holds; other fields are not there.
_Tree = dict[int, Any]


def check_protobuf(body: bytes, descriptor: Any, most: int = MAX_MESSAGES, times: int = 1) -> None:
    """Raise Malformed for a body of more than `most` messages; what is no protobuf is left to the parser.

    `times` says how many times larger than UNCOUNTED_BYTES a body may be without being counted.
    """
    if len(body) <= times * UNCOUNTED_BYTES:
        return
    count = 0
    waiting: list[tuple[int, int, _Tree]] = [(0, len(body), _tree(descriptor))]
    while waiting:
        start, end, tree = waiting.pop()
        try:
            for number, at, length in _delimited(body, start, end):
                below = tree.get(number)
                if below is None:
                    continue
                count += 1
                if count > most:
                    raise _too_many(most)
                if length:
                    waiting.append((at, min(at + length, end), below))
        except IndexError:
            return


def check_json(body: bytes, most: int = MAX_MESSAGES) -> None:
    """Raise Malformed for a body of more than `most` objects and arrays, those within its texts among them."""
    if len(body) > UNCOUNTED_BYTES and body.count(b"{") + body.count(b"[") > most:
        raise _too_many(most)


def _too_many(most: int) -> Malformed:
    return Malformed(f"the body holds more than {most:,} values; send smaller batches")


def _delimited(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, length) of each text or message between two places. Raises IndexError where the body ends."""
    while at < end:
        tag = body[at]
        at += 1
        if tag > 127:
            tag, at = _varint(body, at - 1)
        kind = tag & 7
        if kind == 2:
            length = body[at]
            at += 1
            if length > 127:
                length, at = _varint(body, at - 1)
            yield tag >> 3, at, length
            at += length
        elif kind == 0:
            _, at = _varint(body, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            # A group, or no protobuf.
            raise IndexError


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends. Raises IndexError where the body ends within it."""
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError


@cache
def _tree(descriptor: Descriptor) -> _Tree:
    """The message fields below a message; a message that holds itself (AnyValue) is its own branch."""
    return _branch(descriptor, {})


def _branch(descriptor: Descriptor, known: dict[str, _Tree]) -> _Tree:
    tree = known.get(descriptor.full_name)
    if tree is None:
        tree = known[descriptor.full_name] = {}
        for field in descriptor.fields:
            if field.message_type is not None:
                tree[field.number] = _branch(field.message_type, known)
    return tree
