"""The page of one GPU shows the readings that speak of its health, where its agent sends them."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Project
from tests.query.rows import HOUR, point, store_rows

pytestmark = pytest.mark.usefixtures("store")


def test_a_gpu_tells_its_link_window_heat_margin_volatile_errors_and_what_the_driver_asks_for(
    project: Project, reader: Client
) -> None:
    def told(metric: str, seconds: float, value: float, series: int, **attributes: str) -> dict[str, Any]:
        extra = {"host": "n", "gpu_uuid": "GPU-L", "attributes": attributes, "series": series}
        counter = {"type": "sum", "is_monotonic": True, "temporality": "cumulative"} if "errors" in metric else {}
        return point(metric, seconds, value, **extra, **counter)

    rows = [
        row
        for number, seconds in enumerate((60, 75, 90))
        for row in (
            told("hw.gpu.memory.usage", seconds, 1e9, 9),
            told("gpu.memory.bar1.usage", seconds, 3e6, 1),
            told("gpu.temperature.margin", seconds, 12.0 - number, 2),
            told("gpu.pcie.link.width", seconds, 8.0, 3, **{"gpu.link.bound": "current"}),
            told("gpu.pcie.link.width", seconds, 16.0, 4, **{"gpu.link.bound": "max"}),
            told("gpu.ecc.volatile.errors", seconds, 20.0 * number, 5, **{"error.type": "corrected"}),
            told("gpu.recovery.action", seconds, float(number == 2), 6, **{"gpu.recovery.action": "reset"}),
        )
    ]
    store_rows(project.pk, "metric_points", rows)
    dates = {"from": HOUR.start.isoformat(), "to": HOUR.end.isoformat()}
    charts = reader.get(reverse("gpus-device", args=[project.slug, "GPU-L"]), dates).context["charts"]
    told_values = {
        (chart.id, line.name): max(value for value in line.values if value is not None)
        for chart in charts
        for line in chart.series
    }
    assert told_values[("bar1", "mapped")] == 3e6
    assert told_values[("heat-margin", "degrees left")] == 12.0
    assert (told_values[("link", "lanes current")], told_values[("link", "lanes max")]) == (8.0, 16.0)
    assert told_values[("errors", "ECC corrected, since the driver was loaded")] == pytest.approx(20 / 15)
    assert told_values[("recovery", "reset")] > 0
