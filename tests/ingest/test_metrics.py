"""docs/metrics.md and the code name the same metrics."""

import re
from pathlib import Path

from heliograph import metrics

ROOT = Path(__file__).resolve().parent.parent.parent
ROW = re.compile(
    r"^\| `(?P<name>[a-z_.]+)` \| `(?P<unit>[^`]+)` \| (?P<attributes>.*?) \| (?P<meaning>.*) \|$", re.MULTILINE
)


def test_every_metric_is_documented_with_its_unit_and_meaning():
    documented = {
        row["name"]: (row["unit"], row["meaning"]) for row in ROW.finditer((ROOT / "docs/metrics.md").read_text())
    }
    instruments = [value for name, value in vars(metrics).items() if name.startswith(("ingest_", "store_"))]
    assert documented == {each._name: (each._unit, each._description) for each in instruments}
    assert len(instruments) >= 10


def test_only_known_attributes_are_documented():
    known = {value for name, value in vars(metrics).items() if name.isupper()}
    text = (ROOT / "docs/metrics.md").read_text()
    for row in ROW.finditer(text):
        assert set(re.findall(r"`(heliograph\.[a-z_.]+)`", row["attributes"])) <= known
