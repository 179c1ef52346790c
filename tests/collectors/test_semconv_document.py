"""docs/semconv.md is the table."""

from pathlib import Path

from collectors.semconv.document import lines


def test_the_document_is_the_table() -> None:
    document = Path(__file__).parents[2] / "docs" / "semconv.md"
    assert document.read_text() == "\n".join(lines()) + "\n", "python -m collectors.semconv.document > docs/semconv.md"
