"""Evaluation by the public API, with nothing but what `heliograph up` starts by itself."""

from tests.journeys.conftest import Platform
from tests.journeys.evaluation_walk import walk_through


def test_rule_schedule_data_set_experiment_gate_monitor_annotation_and_judge_work_together(platform: Platform) -> None:
    walk_through(platform)
