"""A file into a data set: sent once, looked at by any mapping of its columns, then kept as a version or left.

Between the look and the decision the file lies among the project's blobs, for some days.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.blobs import store
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.datasets import RowText, the_dataset
from heliograph.dashboards.experiments import user_of
from heliograph.dashboards.wording import counted
from heliograph.datasets import imports, versions
from heliograph.datasets.columns import Columns
from heliograph.datasets.content import InvalidRowError, RowContent
from heliograph.datasets.models import Content, Dataset, DatasetVersion, Row
from heliograph.datasets.splits import parse_ratios
from heliograph.datasets.tables import FORMATS, MAX_UPLOAD_BYTES, UnreadableTableError, format_of
from heliograph.datasets.versions import TooManyRowsError

# Over a weekend, for somebody who is interrupted.
KEPT = timedelta(days=4)
# What a column may become.
PARTS = (
    ("input", "input"),
    ("expected", "expected answer"),
    ("context", "context"),
    ("metadata", "metadata"),
    ("id", "id of the row"),
    ("split", "split"),
    ("", "leave out"),
)


@require_POST
@editor_page
def send(request: HttpRequest, project: Project, dataset_id: int) -> HttpResponse:
    """Take a file and show what it holds."""
    dataset = the_dataset(project, dataset_id)
    file = request.FILES.get("file")
    try:
        if file is None:
            raise UnreadableTableError("Choose a file.")
        if (file.size or 0) > MAX_UPLOAD_BYTES:
            raise UnreadableTableError(f"A file may have {MAX_UPLOAD_BYTES // 2**20} MiB: upload it in parts.")
        kind = format_of(file.name or "")
        data = file.read()
        digest, until = hashlib.sha256(data).hexdigest(), (datetime.now(UTC) + KEPT).date().isoformat()
        store.keep(project.pk, until, {digest: data})
    except UnreadableTableError as error:
        messages.error(request, str(error))
        return redirect("dataset", project.slug, dataset.pk)
    except store.BlobsAwayError:
        messages.error(request, "The file cannot be kept now: the blob store does not answer. Try again.")
        return redirect("dataset", project.slug, dataset.pk)
    path = reverse("datasets-preview", args=[project.slug, dataset.pk, until, digest, kind])
    return redirect(f"{path}?{urlencode({'name': (file.name or '')[:200]})}")


@dataclass(slots=True)
class _Look:
    """What a file holds by the mapping of an address, or why it cannot be read so."""

    table: imports.Table
    error: str = ""


@project_page
def preview(
    request: HttpRequest, project: Project, dataset_id: int, until: str, digest: str, kind: str
) -> HttpResponse:
    """Show the rows that a file would make by the mapping in the address."""
    look = _look(request, project, until, digest, kind)
    return _page(request, project, the_dataset(project, dataset_id), look)


@require_POST
@editor_page
def keep(request: HttpRequest, project: Project, dataset_id: int, until: str, digest: str, kind: str) -> HttpResponse:
    """Keep the rows that the preview of the same address shows; rows at fault are left out where that is said."""
    dataset = the_dataset(project, dataset_id)
    look = _look(request, project, until, digest, kind)
    if look.error or (look.table.fault_count and request.POST.get("skip") != "on"):
        return _page(request, project, dataset, look, status=422)
    try:
        made = versions.change(
            dataset,
            look.table.rows,
            source=DatasetVersion.Source.UPLOAD,
            author=user_of(request),
            note=request.GET.get("name", ""),
        )
    except TooManyRowsError as error:
        look.error = str(error)
        return _page(request, project, dataset, look, status=422)
    said = f"Version {made.number}: {counted(made.added, 'row')} added, {made.changed} changed." if made else ""
    messages.success(request, said or "Nothing in the file is new.")
    return redirect("dataset", project.slug, dataset.pk)


def _look(request: HttpRequest, project: Project, until: str, digest: str, kind: str) -> _Look:
    """Read the file. Raises Http404 where the project has none such."""
    given = request.GET
    known = next((each for each in FORMATS if each == kind), None)
    file = _file(project, until, digest)
    if known is None or file is None:
        raise Http404("no such file; it is kept for some days")
    look = _Look(imports.Table(names=given.getlist("column")))
    with file:
        try:
            look.table = imports.load(file, known, _columns(given))  # type: ignore[arg-type]  # a file of bytes
            if splits := given.get("splits", "").strip():
                seed = given.get("seed", "0")
                number = int(seed) if seed.isdecimal() and len(seed) < 10 else 0
                look.table.rows = imports.split_by(look.table.rows, parse_ratios(splits), number)
        except (UnreadableTableError, TooManyRowsError, InvalidRowError) as problem:
            look.error = str(problem)
    return look


def _page(request: HttpRequest, project: Project, dataset: Dataset, look: _Look, status: int = 200) -> HttpResponse:
    table = look.table
    context = {
        "project": project,
        "dataset": dataset,
        "given": request.GET,
        "table": table,
        "columns": [(name, _part_of(table.columns, name)) for name in table.names],
        "parts": PARTS,
        "rows": [RowText.of(_shown(row)) for row in table.rows[: imports.ROWS_SHOWN]],
        "error": look.error,
        "look_again": request.path.replace("/keep/", "/files/", 1),
        "keep": request.get_full_path().replace("/files/", "/keep/", 1),
        "may_edit": may_edit(request, project),
    }
    return render(request, "dashboards/dataset_preview.html", context, status=status)


def _file(project: Project, until: str, digest: str) -> IO[bytes] | None:
    try:
        day = datetime.fromisoformat(until).date().isoformat()
    except ValueError:
        return None
    if len(digest) != 64 or any(letter not in "0123456789abcdef" for letter in digest):
        return None
    try:
        found: Any = store.read(project.pk, day, digest)
    except store.BlobsAwayError:
        return None
    return found  # type: ignore[no-any-return]  # a Django file is one


def _columns(given: Any) -> Columns | None:
    """Return the mapping of an address: `column` and `as`, repeated in one order; None without."""
    names, parts = given.getlist("column"), given.getlist("as")
    if not names or len(names) != len(parts):
        return None
    of = {part: tuple(name for name, each in zip(names, parts, strict=True) if each == part) for part, _ in PARTS}
    return Columns(
        input=of["input"],
        expected=of["expected"],
        context=of["context"],
        metadata=of["metadata"],
        key=next(iter(of["id"]), ""),
        split=next(iter(of["split"]), ""),
        json_cells=given.get("json") == "on",
    )


def _part_of(columns: Columns, name: str) -> str:
    for part in ("input", "expected", "context", "metadata"):
        if name in getattr(columns, part):
            return part
    return "id" if name == columns.key else "split" if name == columns.split else ""


def _shown(row: RowContent) -> Row:
    """Return a row that is not stored, for the table that shows stored ones."""
    named = row.named()
    content = Content(input=row.input, expected=row.expected, context=row.context, metadata=dict(row.metadata))
    return Row(key=named.key, split=row.split or "", content=content)
