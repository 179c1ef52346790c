"""Splitting the rows that a data set has."""

from collections.abc import Mapping

from heliograph.accounts.models import User
from heliograph.datasets.models import Dataset, DatasetVersion, Row
from heliograph.datasets.splits import assigned
from heliograph.datasets.versions import MAX_CHANGE_ROWS, TooManyRowsError, change


def split_again(
    dataset: Dataset, ratios: Mapping[str, float], seed: int, *, only_new: bool = True, author: User | None = None
) -> DatasetVersion | None:
    """Make a version whose rows (with `only_new`, those without a split) are split by shares; None where none are.

    Rows that have a split keep it unless asked otherwise: one that moved from train to test would be tested on what
    was trained on. Raises TooManyRowsError.
    """
    rows = Row.objects.filter(dataset=dataset, removed_in=None)
    rows = rows.filter(split="") if only_new else rows
    if rows.count() > MAX_CHANGE_ROWS:
        raise TooManyRowsError(f"More than {MAX_CHANGE_ROWS:,} rows: split them as you upload them.")
    found = list(rows.order_by("position"))
    splits = assigned([row.key for row in found], ratios, seed) if found else {}
    shares = ", ".join(f"{name} {share:.3g}" for name, share in ratios.items())
    return change(
        dataset,
        splits=[(row, splits[row.key]) for row in found],
        source=DatasetVersion.Source.SPLIT,
        author=author,
        note=f"{shares}; seed {seed}",
    )
