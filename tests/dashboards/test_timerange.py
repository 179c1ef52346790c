"""The time range in the address."""

from datetime import UTC, datetime, timedelta

from django.test import RequestFactory

from heliograph.dashboards.timerange import chosen_range

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def chosen(query: str):  # type: ignore[no-untyped-def]  # the type is what the function says
    return chosen_range(RequestFactory().get("/?" + query), now=NOW)


def test_without_a_range_the_last_day_is_shown() -> None:
    result = chosen("")
    assert (result.preset, result.error) == ("24h", "")
    assert NOW - result.range.start == timedelta(hours=24)
    assert result.range.end >= NOW


def test_a_preset_is_taken_and_marked() -> None:
    result = chosen("range=7d")
    assert NOW - result.range.start == timedelta(days=7)
    assert [preset.label for preset in result.presets if preset.current] == ["7d"]


def test_an_absolute_range_is_taken() -> None:
    result = chosen("from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z")
    assert result.preset == "custom"
    assert result.range.end - result.range.start == timedelta(days=1)


def test_a_time_without_a_zone_is_utc() -> None:
    assert chosen("from=2026-01-01T00:00&to=2026-01-02T00:00").range.start.tzinfo is not None


def test_an_unusable_range_is_explained_and_the_last_day_shown() -> None:
    for query in ("from=yesterday&to=today", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from=2026-01-01"):
        result = chosen(query)
        assert "cannot be used" in result.error
        assert result.preset == "24h"


def test_the_links_of_the_control_keep_the_filters_and_drop_the_page() -> None:
    links = {preset.label: preset.url for preset in chosen("service=bot&cursor=abc&range=1h").presets}
    assert links["7d"] == "?service=bot&range=7d"
