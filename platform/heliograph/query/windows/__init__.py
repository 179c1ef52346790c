"""Measures over sliding windows, for many questions at once.

- `values(project_id, wanted) -> dict[Question, Values]`

A window of W minutes that ends at minute e covers the minutes from e - W (included) to e (excluded); minutes are
counted since the epoch. Questions that differ only in what they pick from the same grouping share one query.
"""

from heliograph.query.windows.answers import values
from heliograph.query.windows.question import MAX_GROUPS, Question, Values

__all__ = ["MAX_GROUPS", "Question", "Values", "values"]
