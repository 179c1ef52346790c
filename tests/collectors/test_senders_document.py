"""docs/senders.md names every dialect of the table and every recording, and nothing else."""

import re
from pathlib import Path

from collectors.semconv.dialects import DIALECTS
from tests.collectors.recording.__main__ import SENDERS

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "senders.md").read_text()
HEADINGS = [line for line in DOCUMENT.splitlines() if line.startswith("## ")]


def test_each_dialect_has_one_section() -> None:
    named = [name for line in HEADINGS for name in re.findall(r"`(\w+)`", line)]
    assert sorted(named) == sorted(dialect.name for dialect in DIALECTS if dialect.name)


def test_each_recording_is_said_to_be_one_and_no_other_is() -> None:
    said = {
        name
        for part in re.findall(r"Recorded: (.*?)\.(?:\s|$)", DOCUMENT, re.DOTALL)
        for name in re.findall(r"`(\w+)`", part)
    }
    assert said == {*SENDERS, "openai_v2"}


def test_each_section_says_whether_its_data_was_recorded_or_constructed() -> None:
    sections = DOCUMENT.split("\n## ")[1:]
    assert [
        section.splitlines()[0] for section in sections if not re.search(r"(?i)\b(recorded|constructed)\b", section)
    ] == []


def test_the_readme_leads_to_it() -> None:
    assert "(docs/senders.md)" in (ROOT / "README.md").read_text()
