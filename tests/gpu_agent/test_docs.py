"""The table of metrics in the documentation and the one in the code are the same."""

import re

import pytest

from gpu_agent.__main__ import parser
from gpu_agent.metrics import EVENTS, METRICS, RESOURCE_ATTRIBUTES
from tests.gpu_agent.support import ROOT

TEXT = (ROOT / "docs" / "gpu-agent.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def keys(attributes: tuple[str, ...]) -> str:
    return ", ".join(f"`{key}`" for key in attributes) or "-"


def test_every_metric_is_documented_as_it_is_sent():
    expected = [
        [f"`{row.name}`", row.unit, row.kind.value, row.interval.name.lower(), keys(row.attributes), row.description]
        for row in METRICS
    ]
    assert rows("Metrics") == expected


def test_every_event_is_documented_as_it_is_sent():
    assert rows("Events") == [[f"`{row.name}`", keys(row.attributes), row.description] for row in EVENTS]


def test_every_resource_attribute_is_documented():
    assert rows("Resource") == [[f"`{key}`", meaning] for key, meaning in RESOURCE_ATTRIBUTES.items()]


def test_every_documented_option_exists():
    options = {option for action in parser()._actions for option in action.option_strings}
    documented = set(re.findall(r"`(--[a-z-]+)`", TEXT))
    assert documented <= options
    assert options - documented <= {"--help", "-h", "--once", "--demo", "--log-level"}


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_names_follow_the_conventions(row):
    assert re.fullmatch(r"(hw|gpu)(\.[a-z][a-z0-9_]*)+", row.name)
    assert row.unit in {"1", "By", "By/s", "W", "J", "Hz", "s", "Cel"} or re.fullmatch(r"\{[a-z]+\}", row.unit)
