"""The reference of the table, `docs/semconv.md`: `python -m collectors.semconv.document > docs/semconv.md`."""

from collections.abc import Iterator

from collectors.semconv.dialects import DIALECTS
from collectors.semconv.events import DETAILS, FIRST_TOKEN, MESSAGE_EVENTS
from collectors.semconv.table import FIELDS, Dialect

_HEAD = """# What attributes mean

Made from the table in `collectors/semconv/` by `python -m collectors.semconv.document`; a test compares.

Each canonical field takes the first usable value, in the order of the dialects below and of the keys in each row. A
mapped attribute is still stored as it came. `prefix.N.*` stands for numbered flat keys; a key marked `*` is read by a
converter of its own (another unit, a table of names, a part of a JSON object).

`several` are JSON objects that hold several fields. Tokens are stored in one convention, whatever the sender's: input
includes cache reads and writes, output includes reasoning. Usage counts on `llm`, `embedding` and `reranker` spans
only, and once for each call: of spans within each other that come together on the innermost, of two that name the same
response on the first, and never on one that repeats what is stored already.
"""


def lines() -> Iterator[str]:
    """The document, line by line."""
    yield from _HEAD.splitlines()
    for order, dialect in enumerate(DIALECTS, start=1):
        yield ""
        yield f"## {order}. {dialect.name or 'general keys'}"
        yield ""
        yield "| field | keys, in order |"
        yield "| --- | --- |"
        for name in FIELDS:
            keys = list(_keys(dialect, name))
            if keys:
                yield f"| {name} | {', '.join(keys)} |"
        if dialect.operations:
            yield ""
            said = ", ".join(f"`{operation}` {kind}" for operation, kind in sorted(dialect.operations.items()))
            yield f"Operations: {said}."
    yield ""
    yield "## Events"
    yield ""
    yield f"First token: {', '.join(f'`{name}`' for name in sorted(FIRST_TOKEN))}."
    yield f"Messages: {', '.join(f'`{name}`' for name in sorted(MESSAGE_EVENTS))}."
    yield f"Attributes of the span itself: `{DETAILS}`. Errors: `exception`."


def _keys(dialect: Dialect, name: str) -> Iterator[str]:
    for source in dialect.fields.get(name, ()):
        yield f"`{source}`" if isinstance(source, str) else f"`{source.key}`*"
    for prefix, field in dialect.flat.items():
        if field == name:
            yield f"`{prefix}.N.*`"


if __name__ == "__main__":
    print("\n".join(lines()))  # noqa: T201  (a document to standard output)
