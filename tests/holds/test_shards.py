"""A store of several shards: no hold is placed there, rather than one that holds nothing."""

import pytest
from pytest_django import Settings

from heliograph.accounts.models import Project
from heliograph.holds import asking
from heliograph.holds.models import Hold

pytestmark = pytest.mark.django_db


def test_a_hold_that_would_keep_nothing_is_refused_where_rows_are_spread(project: Project, settings: Settings) -> None:
    settings.CLICKHOUSE_CLUSTER, settings.CLICKHOUSE_SHARDED = "{cluster}", True
    with pytest.raises(asking.CannotHold, match="several shards"):
        asking.place(project, "user", "alice", "Case 12", "olive")
    assert not Hold.objects.exists()
