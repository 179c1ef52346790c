"""deploy/prometheus: each alert parses, asks for what is exported, and has its section in the runbook."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from heliograph import metrics
from heliograph.dashboards import runbook

ROOT = Path(__file__).resolve().parents[2]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/heliograph.rules.yml").read_text(encoding="utf-8"))
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
DOCS = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
# The installation's numbers; tests/dashboards/test_installation_metrics.py compares them with the page.
GAUGES = {
    name: set(re.findall(r"`([a-z]+)`", labels))
    for name, labels in re.findall(r"^\| `(heliograph_[a-z_]+)` \| (.*?) \|", DOCS, re.MULTILINE)
}


def exported() -> dict[str, set[str]]:
    """Return every name on /metrics with its labels; tests/ingest/test_exposition.py reads those of counters."""
    found = dict(GAUGES)
    written = re.findall(r"^\| `(heliograph\.[a-z_.]+)` \| `[^`]+` \| (.*?) \|", DOCS, re.MULTILINE)
    labels = {
        name: {each.replace(".", "_") for each in re.findall(r"`(heliograph\.[a-z]+)`", row)} for name, row in written
    }
    for each in vars(metrics).values():
        if not hasattr(each, "_unit"):
            continue
        name = each._name.replace(".", "_") + ("_seconds" if each._unit == "s" else "")
        if hasattr(each, "record"):
            found |= {name + end: labels[each._name] for end in ("_sum", "_count")}
            found[f"{name}_bucket"] = labels[each._name] | {"le"}
        else:
            found[f"{name}_total"] = labels[each._name]
    return found


def selectors(expression: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield the name and the labels of everything that an expression reads, as Prometheus' own grammar has it."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression.name, {matcher.name for matcher in expression.matchers.matchers}
    elif isinstance(expression, promql_parser.MatrixSelector):
        yield from selectors(expression.vector_selector)
    elif isinstance(expression, promql_parser.Call):
        for each in expression.args:
            yield from selectors(each)
    elif isinstance(expression, promql_parser.BinaryExpr):
        yield from selectors(expression.lhs)
        yield from selectors(expression.rhs)
    elif isinstance(expression, promql_parser.AggregateExpr | promql_parser.ParenExpr):
        yield from selectors(expression.expr)
    else:
        assert isinstance(expression, promql_parser.NumberLiteral), type(expression)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_parses_and_reads_only_what_is_exported(rule: dict[str, Any]) -> None:
    known = exported()
    read = list(selectors(promql_parser.parse(rule["expr"])))
    assert read
    for name, labels in read:
        assert labels <= known[name] | {"instance", "job"}, name
    # A sum by a label that no series has would be one alert without a name.
    grouped = {label.strip() for found in re.findall(r"by \(([^)]+)\)", rule["expr"]) for label in found.split(",")}
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert told <= grouped <= set.union(*(known[name] for name, _ in read)) | {"instance"}
    if "for" in rule:
        assert promql_parser.parse_duration(rule["for"]).total_seconds() >= 60


def test_the_reader_of_expressions_finds_what_is_not_exported() -> None:
    read = promql_parser.parse('sum by (le) (rate(no_such_name{reason="x"}[5m])) / max(other) > 1')
    assert list(selectors(read)) == [("no_such_name", {"reason"}), ("other", set())]
    assert not {"no_such_name", "other"} & set(exported())
    with pytest.raises(ValueError, match="parenthesis"):
        promql_parser.parse("sum by (le (x)")


def test_each_alert_is_a_section_of_the_runbook_with_cause_and_cure() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names)) >= 20
    texts = {each.name: each.text for each in runbook.sections()}
    for rule in ALERTS:
        kebab = re.sub(r"(?<!^)([A-Z])", r"-\1", rule["alert"].removeprefix("Heliograph")).lower()
        assert rule["annotations"]["runbook"] == kebab
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")
        assert "<strong>Cure</strong>" in texts[kebab], kebab
        assert "<strong>Cause</strong>" in texts[kebab], kebab


def test_the_runbook_holds_nothing_that_its_page_would_show_as_signs() -> None:
    for each in runbook.sections():
        plain = re.sub(r"<code>.*?</code>", "", each.text)
        assert not re.search(r"[`*#\[\]]|^- |\n\n", plain, re.MULTILINE), each.name
