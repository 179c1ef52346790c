"""Dashboards that people make: the list, one with its panels, and what changes it."""

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.dashboards import alert_marks
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.charts import Chart, Series, Unit, over_range
from heliograph.dashboards.failures import explained
from heliograph.dashboards.finding import found_in
from heliograph.dashboards.saved_views import reader
from heliograph.dashboards.timerange import chosen_range
from heliograph.query.boards import (
    MAX_JSON_BYTES,
    MAX_PANELS,
    Answer,
    Board,
    InvalidBoardError,
    answers,
    picked,
    read_board,
    read_panel,
    read_panels,
    write_board,
    write_panel,
)
from heliograph.query.measures import MEASURES, NO_SHARES, Measure
from heliograph.saved.models import Dashboard, dashboards_for

_UNITS: dict[str, Unit] = {
    "s": "ns",
    "USD": "usd",
    "Cel": "celsius",
    "W": "watt",
    "{request}/s": "per_s",
    "min": "number",
}
_DIMENSIONS = sorted({name for measure in MEASURES.values() for name in measure.dimensions})


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the list, and the forms that begin a dashboard."""
    return _list(request, project)


def _list(request: HttpRequest, project: Project, error: str = "", given: str = "", status: int = 200) -> HttpResponse:
    context = {
        "project": project,
        "boards": found_in(request, dashboards_for(project, reader(request)), "name"),
        "may_edit": may_edit(request, project),
        "error": error,
        "given": given,
    }
    return render(request, "dashboards/boards.html", context, status=status)


@explained
@project_page
def show_one(request: HttpRequest, project: Project, board_id: int) -> HttpResponse:
    """Show a dashboard's panels over the chosen range."""
    board = get_object_or_404(dashboards_for(project, reader(request)), pk=board_id)
    return _page(request, project, board)


def _page(
    request: HttpRequest, project: Project, board: Dashboard, error: InvalidBoardError | None = None
) -> HttpResponse:
    chosen = chosen_range(request)
    panels = read_panels(board.panels)
    found = answers(project.pk, panels, chosen.range)
    drawn = over_range([_chart(number, answer) for number, answer in enumerate(found)], chosen.range)
    narrowed = [dict(picked(panel.filter, panel.what)) for panel in panels]
    charts = alert_marks.with_alerts_of_each(project, list(zip(drawn, narrowed, strict=True)), chosen.range)
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "board": board,
        "shown": list(zip(found, charts, range(len(found)), strict=True)),
        "may_edit": may_edit(request, project),
        "measures": MEASURES.values(),
        "dimensions": _DIMENSIONS,
        "is_full": len(panels) >= MAX_PANELS,
        "problem": error,
        "given": request.POST,
    }
    return render(request, "dashboards/board.html", context, status=422 if error else 200)


def _chart(number: int, answer: Answer) -> Chart:
    panel = answer.panel
    times = [start * 1000 for start in answer.starts_s]
    scale = 1e9 if panel.what.unit == "s" else 1
    lines = [
        Series(line.label or panel.what.title, [None if value is None else value * scale for value in line.values])
        for line in answer.lines
    ]
    return Chart(
        f"panel-{number}",
        panel.title,
        unit_of(panel.what),
        times,
        lines,
        kind="bar" if panel.chart == "bar" else "line",
        is_named=bool(panel.by),
        about=alert_marks.about(panel.measure, panel.name),
    )


def unit_of(measure: Measure) -> Unit:
    """Return how a chart writes a measure; seconds are drawn as nanoseconds."""
    if measure.key in NO_SHARES:
        return "number"
    return "share" if measure.unit == "1" else _UNITS.get(measure.unit, "count")


@require_POST
@editor_page
def create(request: HttpRequest, project: Project) -> HttpResponse:
    """Begin an empty dashboard, or one from exported JSON."""
    text = request.POST.get("json", "").strip()
    file = request.FILES.get("file")
    try:
        if Dashboard.objects.filter(project=project).count() >= Dashboard.MOST:
            raise InvalidBoardError("", f"this project has {Dashboard.MOST} dashboards; delete one that nobody needs")
        if file is not None and (file.size or 0) > MAX_JSON_BYTES:
            raise InvalidBoardError("", f"this file is larger than {MAX_JSON_BYTES // 1024} KiB, which no dashboard is")
        if text or file:
            board = read_board(file.read() if file else text)
        else:
            name = request.POST.get("name", "").strip()
            if not 1 <= len(name) <= 80:
                raise InvalidBoardError("name", "must have 1 to 80 characters")
            board = Board(name, ())
    except InvalidBoardError as error:
        return _list(request, project, str(error), text, status=422)
    made = Dashboard.objects.create(
        project=project,
        author=reader(request),
        name=board.name,
        is_shared=True,
        panels=[write_panel(panel) for panel in board.panels],
    )
    messages.success(request, f"The dashboard {made.name} is made.")
    return redirect("overview-boards-one", project.slug, made.pk)


@project_page
def export(request: HttpRequest, project: Project, board_id: int) -> HttpResponse:
    """Answer with a dashboard as a JSON file."""
    board = get_object_or_404(dashboards_for(project, reader(request)), pk=board_id)
    body = write_board(Board(board.name, read_panels(board.panels)))
    answer = HttpResponse(body, content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="dashboard-{board.pk}.json"'
    return answer


@explained
@require_POST
@editor_page
def change(request: HttpRequest, project: Project, board_id: int) -> HttpResponse:
    """Do what the form says (`do`): add, move or remove a panel, rename, share, or delete the dashboard."""
    with transaction.atomic():
        board = get_object_or_404(dashboards_for(project, reader(request)).select_for_update(), pk=board_id)
        try:
            deleted = _change(board, request)
        except InvalidBoardError as error:
            return _page(request, project, board, error)
    if deleted:
        messages.success(request, f"The dashboard {board.name} with {len(board.panels)} panels is deleted.")
        return redirect("overview-boards", project.slug)
    return redirect("overview-boards-one", project.slug, board.pk)


def _change(board: Dashboard, request: HttpRequest) -> bool:
    do = request.POST.get("do", "")
    if do == "delete":
        board.delete()
        return True
    if do == "add":
        if len(board.panels) >= MAX_PANELS:
            raise InvalidBoardError("panels", f"a dashboard has at most {MAX_PANELS} panels")
        board.panels = [*board.panels, write_panel(read_panel(_panel_of(request)))]
    elif do in {"remove", "up"}:
        place = _place(request, len(board.panels))
        panel = board.panels.pop(place)
        if do == "up":
            board.panels.insert(max(place - 1, 0), panel)
    elif do == "rename":
        name = request.POST.get("name", "").strip()
        if not 1 <= len(name) <= 80:
            raise InvalidBoardError("name", "must have 1 to 80 characters")
        board.name = name
        board.is_shared = bool(request.POST.get("is_shared"))
    else:
        raise InvalidBoardError("do", "must be add, up, remove, rename or delete")
    board.save()
    return False


def _place(request: HttpRequest, panels: int) -> int:
    text = request.POST.get("panel", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and int(text) < panels):
        raise InvalidBoardError("panel", "is none of this dashboard's: somebody else may have changed it meanwhile")
    return int(text)


def _panel_of(request: HttpRequest) -> dict[str, Any]:
    given: dict[str, Any] = {
        name: request.POST.get(name, "") for name in ("title", "measure", "chart", "filter", "name")
    }
    given["by"] = [name for name in request.POST.getlist("by") if name]
    bound = request.POST.get("bound", "").strip()
    try:
        given["bound"] = float(bound) if bound else None
    except ValueError as error:
        raise InvalidBoardError("bound", "must be a number") from error
    return given
