"""docs/scale.md holds what benchmarks/sizing.py prints."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sizing() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks/sizing.py"))


def test_the_tables_of_the_document_are_what_the_script_prints(sizing: dict[str, Any]) -> None:
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    shown = page.partition(sizing["BEGIN"])[2].partition(sizing["END"])[0]
    assert shown == "".join(sizing["tables"](sizing["Site"]())), "run: python benchmarks/sizing.py --write"


def test_each_figure_stands_in_a_document_that_there_is(sizing: dict[str, Any]) -> None:
    for figure in sizing["FIGURES"]:
        document = figure.source.rpartition("(")[2].rstrip(")")
        assert (ROOT / "docs" / document).is_file(), figure
        assert (ROOT / figure.source.split("`")[1]).is_file(), figure


def test_every_figure_is_in_the_table(sizing: dict[str, Any]) -> None:
    assert {each for each in sizing.values() if isinstance(each, sizing["Figure"])} == set(sizing["FIGURES"])


def test_a_billion_spans_a_day_are_the_measured_cost_of_a_span_multiplied(sizing: dict[str, Any]) -> None:
    need = sizing["need"](1_000_000_000, sizing["Site"](peak=3, use=0.5, disk_use=1, days=30))
    peak = 1e9 / 86_400 * 3
    assert need.collectors == pytest.approx(peak * sizing["COLLECTOR"].value / 1_000 / 0.5)
    assert need.disk == pytest.approx(1e9 * 30 * sizing["SPAN_BYTES"].value * 2 / 1e9)  # two copies
    assert need.shards * 4_000 * need.copies >= need.disk
    assert need.cores >= need.collectors + need.store + need.web + need.workers


def test_a_quiet_store_pays_for_its_inserts_and_a_busy_one_for_its_rows(sizing: dict[str, Any]) -> None:
    site = sizing["Site"](pages=0, use=1)
    quiet, busy = sizing["need"](10_000_000, site), sizing["need"](1_000_000_000, site)
    assert quiet.store == pytest.approx(quiet.peak / 100 * sizing["INSERT"].value)
    assert busy.store == pytest.approx(2 * busy.peak * sizing["STORE"].value / 1_000)
