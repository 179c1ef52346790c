"""Versions of data sets: each can be read again as it was, whatever came later."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from pytest_django import Settings

from heliograph.accounts.models import Project
from heliograph.datasets import results, versions
from heliograph.datasets.content import InvalidRowError, RowContent
from heliograph.datasets.models import Content, Dataset, DatasetVersion, Row
from heliograph.datasets.splits import assigned, parse_ratios
from tests.datasets.conftest import API, a_run, put, row

pytestmark = pytest.mark.django_db


def held(dataset: Dataset, number: int) -> dict[str, tuple[Any, str]]:
    version = dataset.versions.get(number=number)
    return {each.key: (each.content.input, each.split) for each in Row.objects.of(version)}


def test_every_version_reads_as_the_changes_made_it(dataset: Dataset) -> None:
    """Twenty random changes against a plain dictionary as the model, read again after all of them."""
    chance = random.Random(7)
    model: dict[str, tuple[str, str]] = {}
    history = []
    for _ in range(20):
        puts = {
            str(key): (f"text {chance.randrange(3)}", chance.choice(["", "test"]))
            for key in chance.sample(range(12), 4)
        }
        gone = [key for key in chance.sample(range(12), 2) if str(key) not in puts]
        made = versions.change(
            dataset,
            [row(key, text, split=split) for key, (text, split) in puts.items()],
            removed_keys=[str(key) for key in gone],
            source=API,
        )
        for key in gone:
            model.pop(str(key), None)
        model |= puts
        if made:
            history.append((made, dict(model)))
    assert len(history) > 10
    for version, expected in history:
        assert held(dataset, version.number) == expected
        assert version.rows == len(expected)
        assert sum(version.splits.values()) == len(expected)
        assert version.splits.get("test", 0) == sum(split == "test" for _, split in expected.values())
    first, last = history[2], history[-1]
    found = versions.differences(dataset, first[0].number, last[0].number)
    assert {each.key for each in found if each.kind == "added"} == set(last[1]) - set(first[1])
    assert {each.key for each in found if each.kind == "removed"} == set(first[1]) - set(last[1])
    both = set(first[1]) & set(last[1])
    assert {each.key for each in found if each.kind == "changed"} == {k for k in both if first[1][k] != last[1][k]}


def test_rows_that_say_nothing_new_make_no_version(dataset: Dataset) -> None:
    put(dataset, row("a"), row("b"))
    assert versions.change(dataset, [row("b"), row("a")], source=API) is None
    assert (dataset.latest, Row.objects.count()) == (1, 2)


def test_a_row_without_a_key_is_known_again_by_its_input(dataset: Dataset) -> None:
    put(dataset, RowContent(input="Q", expected="A"), RowContent(input="Q", expected="other"))
    second = put(dataset, RowContent(input="Q", expected="better"), RowContent(input="Q", expected="other"))
    assert (second.added, second.changed, second.rows) == (0, 1, 2)


def test_a_content_is_stored_once_and_a_changed_row_keeps_its_place(dataset: Dataset) -> None:
    put(dataset, row("a"), row("b"), row("c"))
    put(dataset, row("a", "other words"))
    put(dataset, row("a"))
    assert [each.key for each in Row.objects.of(dataset.versions.get(number=3))] == ["a", "b", "c"]
    assert (Row.objects.count(), Content.objects.count(), dataset.stored_rows) == (5, 4, 5)


def test_a_project_keeps_no_more_than_it_may_and_a_refused_change_leaves_nothing(
    dataset: Dataset, settings: Settings
) -> None:
    settings.MAX_DATASET_ROWS = 3
    put(dataset, row("a"), row("b"))
    with pytest.raises(versions.TooManyRowsError, match="HELIOGRAPH_MAX_DATASET_ROWS"):
        versions.change(dataset, [row("c"), row("d")], source=API)
    assert (Row.objects.count(), DatasetVersion.objects.count()) == (2, 1)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input": ""}, "input"),
        ({"input": "a\0b"}, "input"),
        ({"input": "x", "expected": float("nan")}, "expected"),
        ({"input": "x", "metadata": ["no object"]}, "metadata"),
        ({"input": "x" * 2**20}, "input"),
        ({"input": "x", "key": "two\nlines"}, "id"),
        ({"input": "x", "split": "y" * 51}, "split"),
        ({"input": 2**70}, "input"),
    ],
)
def test_a_row_that_cannot_be_kept_says_which_part(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRowError) as caught:
        RowContent(**fields)
    assert caught.value.field == field


@settings_of_hypothesis(max_examples=30)
@given(st.lists(st.text(min_size=1, max_size=8), unique=True, min_size=1, max_size=60), st.integers())
def test_shares_are_exact_to_a_row_and_only_the_seed_decides(keys: list[str], seed: int) -> None:
    ratios = parse_ratios("train=80, dev=10, test=10")
    found = assigned(keys, ratios, seed)
    assert set(found) == set(keys)
    assert assigned(list(reversed(keys)), ratios, seed) == found
    for name, share in ratios.items():
        assert abs(sum(split == name for split in found.values()) - share * len(keys)) <= 1


def test_runs_are_paired_by_rows_that_both_scored_and_that_say_the_same(project: Project, dataset: Dataset) -> None:
    put(dataset, row("a"), row("b"), row("c"), row("d"))
    before = a_run(dataset, [1.0, 0.0, None, 0.25])
    put(dataset, row("d", "another question"))
    after = a_run(dataset, [0.0, 0.0, 1.0, 1.0])
    assert results.paired(before, after, "exact_match") == (["a", "b"], [1.0, 0.0], [0.0, 0.0])
    rows, total = results.compared([before, after], "exact_match")
    assert (total, rows[0].key, rows[0].is_flip, rows[0].change) == (5, "a", True, -1.0)
    assert rows[0].results[1].output == "output a"
    assert results.score_names([before, after]) == ["exact_match"]
