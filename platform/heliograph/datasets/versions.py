"""Versions: what changes a data set, and what it held at any time.

- `change(dataset, puts, ...) -> DatasetVersion | None`: one new version of what was put, split again and removed
- `differences(dataset, old, new, ...) -> list[Difference]`: the rows by which two versions differ
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings
from django.db import models, transaction

from heliograph.accounts.models import User
from heliograph.datasets.chunks import chunks
from heliograph.datasets.content import RowContent
from heliograph.datasets.models import Content, Dataset, DatasetVersion, Row

# SQLite lets one process write at a time, and the others wait 20 seconds: a version of so many rows takes under ten.
MAX_CHANGE_ROWS = 100_000
# Values of so many rows fit into one statement's parameters in SQLite and PostgreSQL.
CHUNK = 500


class TooManyRowsError(ValueError):
    """More rows than a version may bring, or than a project may keep; the text says what to do."""


@dataclass(slots=True)
class _Tally:
    added: int = 0
    changed: int = 0
    removed: int = 0
    bytes: int = 0


def change(
    dataset: Dataset,
    puts: Iterable[RowContent] = (),
    *,
    removed_keys: Sequence[str] = (),
    splits: Sequence[tuple[Row, str]] = (),
    source: DatasetVersion.Source,
    author: User | None = None,
    note: str = "",
) -> DatasetVersion | None:
    """Make one version: each row that is put is added, or takes the place of the one of its key.

    All of it happens, or nothing. Returns None where nothing changes. Rows of one key in `puts`: the last one counts.
    Raises TooManyRowsError.
    """
    given = _by_key(puts)
    if max(len(given), len(removed_keys), len(splits)) > MAX_CHANGE_ROWS:
        raise TooManyRowsError(f"One version may change {MAX_CHANGE_ROWS:,} rows: send the rest as further versions.")
    with transaction.atomic():
        locked = Dataset.objects.select_for_update().get(pk=dataset.pk)
        before = DatasetVersion.objects.filter(dataset=locked, number=locked.latest).first()
        number, tally = locked.latest + 1, _Tally()
        counts: Counter[str] = Counter(before.splits if before else {})
        for keys in chunks(removed_keys, CHUNK):
            _remove(locked, number, keys, counts, tally)
        for chunk in chunks(splits, CHUNK):
            _split_again(locked, number, chunk, counts, tally)
        for rows in chunks(given.values(), CHUNK):
            _put(locked, number, rows, counts, tally)
        if not (tally.added or tally.changed or tally.removed):
            return None
        locked.latest = number
        locked.stored_rows += tally.added + tally.changed
        locked.stored_bytes += tally.bytes
        locked.save()
        _check_bounds(locked)
        version = DatasetVersion.objects.create(
            dataset=locked,
            number=number,
            source=source,
            note=note[:500],
            added=tally.added,
            changed=tally.changed,
            removed=tally.removed,
            rows=counts.total(),
            splits={split: rows for split, rows in sorted(counts.items()) if rows},
            created_by=author,
        )
    dataset.refresh_from_db()
    return version


def _by_key(puts: Iterable[RowContent]) -> dict[str, RowContent]:
    seen: Counter[str] = Counter()
    given: dict[str, RowContent] = {}
    for row in puts:
        named = row.named()
        if not row.key:
            seen[named.key] += 1
            named = row.named(seen[named.key])
        given[named.key] = named
        if len(given) > MAX_CHANGE_ROWS:
            break
    return given


def _remove(dataset: Dataset, number: int, keys: Sequence[str], counts: Counter[str], tally: _Tally) -> None:
    rows = Row.objects.filter(dataset=dataset, key__in=keys, removed_in=None)
    for split, found in rows.values_list("split").annotate(models.Count("pk")):
        counts[split] -= found
    tally.removed += rows.update(removed_in=number)


def _put(dataset: Dataset, number: int, given: Sequence[RowContent], counts: Counter[str], tally: _Tally) -> None:
    keys = [row.key for row in given]
    known = {row.key: row for row in Row.objects.filter(dataset=dataset, key__in=keys, removed_in=None)}
    # A key that was removed earlier comes back to its place.
    gone = [key for key in keys if key not in known]
    places = dict(Row.objects.filter(dataset=dataset, key__in=gone).values_list("key", "position"))
    replaced, rows, contents = [], [], {}
    for row in given:
        old, content_id = known.get(row.key), row.content_id(dataset.pk)
        split = row.split if row.split is not None else old.split if old else ""
        if old and old.content_id == content_id and old.split == split:
            continue
        contents[content_id] = row
        if old:
            replaced.append(old.pk)
            counts[old.split] -= 1
        counts[split] += 1
        rows.append(
            Row(
                dataset=dataset,
                key=row.key,
                position=old.position if old else places.get(row.key, dataset.next_position),
                content_id=content_id,
                split=split,
                trace_id=row.trace_id or (old.trace_id if old else ""),
                span_id=row.span_id or (old.span_id if old else ""),
                added_in=number,
            )
        )
        dataset.next_position += 0 if old or row.key in places else 1
    Row.objects.filter(pk__in=replaced).update(removed_in=number)
    _store_contents(dataset, contents, tally)
    Row.objects.bulk_create(rows)
    tally.changed += len(replaced)
    tally.added += len(rows) - len(replaced)


def _store_contents(dataset: Dataset, contents: dict[Any, RowContent], tally: _Tally) -> None:
    there = set(Content.objects.filter(pk__in=contents).values_list("pk", flat=True))
    new = [
        Content(
            id=content_id,
            dataset=dataset,
            input=row.input,
            expected=row.expected,
            context=row.context,
            metadata=dict(row.metadata),
            size=row.size,
        )
        for content_id, row in contents.items()
        if content_id not in there
    ]
    Content.objects.bulk_create(new)
    tally.bytes += sum(content.size for content in new)


def _split_again(
    dataset: Dataset, number: int, chunk: Sequence[tuple[Row, str]], counts: Counter[str], tally: _Tally
) -> None:
    moved = [(row, split) for row, split in chunk if row.split != split]
    still = set(
        Row.objects.filter(dataset=dataset, pk__in=[row.pk for row, _ in moved], removed_in=None).values_list(
            "pk", flat=True
        )
    )
    rows = []
    for row, split in moved:
        if row.pk in still:
            counts[row.split] -= 1
            counts[split] += 1
            kept = {name: getattr(row, name) for name in ("key", "position", "content_id", "trace_id", "span_id")}
            rows.append(Row(dataset=dataset, split=split, added_in=number, **kept))
    Row.objects.filter(pk__in=still).update(removed_in=number)
    Row.objects.bulk_create(rows)
    tally.changed += len(rows)


def _check_bounds(dataset: Dataset) -> None:
    """Raise TooManyRowsError, which takes the transaction back, where the project keeps more than it may."""
    stored = Dataset.objects.filter(project=dataset.project_id).aggregate(
        rows=models.Sum("stored_rows"), bytes=models.Sum("stored_bytes")
    )
    for name, most in (("rows", settings.MAX_DATASET_ROWS), ("bytes", settings.MAX_DATASET_BYTES)):
        if (stored[name] or 0) > most:
            raise TooManyRowsError(
                f"The project's data sets would hold {stored[name]:,} {name}, all versions together; {most:,} fit. "
                "Delete a data set that nobody needs, or have the operator raise "
                f"HELIOGRAPH_MAX_DATASET_{name.upper()}."
            )


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that differs: `old` is None where it was added, `new` where it was removed."""

    old: Row | None
    new: Row | None

    @property
    def kind(self) -> Literal["added", "changed", "removed"]:
        """What happened to it."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"

    @property
    def key(self) -> str:
        """The row's key."""
        return self._row.key

    @property
    def position(self) -> int:
        """The row's place."""
        return self._row.position

    @property
    def _row(self) -> Row:
        row = self.new or self.old
        assert row is not None
        return row


def differences(dataset: Dataset, old: int, new: int, *, after: int = 0, limit: int = 100) -> list[Difference]:
    """Return how version `new` differs from `old`, in the order of the rows' places, `limit` rows after a place."""
    low, high = sorted((old, new))
    came = models.Q(added_in__gt=low, added_in__lte=high)
    went = models.Q(removed_in__gt=low, removed_in__lte=high)
    touched = Row.objects.filter(came | went, dataset=dataset).order_by("position").values_list("position", flat=True)
    found: list[Difference] = []
    while len(found) < limit:
        positions = list(touched.filter(position__gt=after).distinct()[:CHUNK])
        rows = {number: _at(dataset, positions, number) for number in (old, new)}
        pairs = [Difference(rows[old].get(place), rows[new].get(place)) for place in positions]
        # A row that came and went again between the two, or that is as it was, is no difference.
        found += [pair for pair in pairs if _says(pair.old) != _says(pair.new)]
        if len(positions) < CHUNK:
            break
        after = positions[-1]
    return found[:limit]


def _at(dataset: Dataset, positions: Sequence[int], number: int) -> dict[int, Row]:
    rows = Row.objects.filter(dataset=dataset, position__in=positions).in_version(number).select_related("content")
    return {row.position: row for row in rows}


def _says(row: Row | None) -> tuple[Any, ...] | None:
    return None if row is None else (row.content_id, row.split)
