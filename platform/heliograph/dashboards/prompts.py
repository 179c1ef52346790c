"""Prompts: which versions the traces name, what each costs, how fast and how good it is, and what its text changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.accounts.models import Project
from heliograph.dashboards.access import project_page
from heliograph.dashboards.failures import explained
from heliograph.dashboards.project_settings import sending_context
from heliograph.dashboards.text_diff import Difference, difference
from heliograph.dashboards.timerange import chosen_range
from heliograph.query import prompts
from heliograph.query.filters import TimeRange
from heliograph.query.prompts import VersionRow, VersionText
from heliograph.query.terms import quote

PAGE_SIZE = 100


@explained
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the prompts that the spans of the range name."""
    return _list(request, project)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two versions and what changed in their text; None where one of them carries none."""

    before: str
    after: str
    before_text: VersionText | None
    after_text: VersionText | None
    difference: Difference | None


@explained
@project_page
def show_one(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the versions of one prompt side by side, and two of them as a difference of texts.

    `from_version` and `to_version` choose the two; without them the newest and the one before it.
    """
    chosen, name = chosen_range(request), request.GET.get("name", "")
    if not name:
        return _list(request, project)
    rows = prompts.versions(project.pk, name, chosen.range)
    if not rows:
        reason = f"No span of this time range names such a prompt in {project.name}. Choose a longer time range."
        context: dict[str, object] = {"project": project, "title": "No such prompt", "reason": reason}
        return render(request, "dashboards/failure.html", context, status=404)
    known = [row.version for row in rows]
    after = request.GET.get("to_version", known[0])
    before = request.GET.get("from_version", known[1] if len(known) > 1 else "")
    score_names = sorted({score.name for row in rows for score in row.scores})
    score = request.GET.get("score", score_names[0] if score_names else "")
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "name": name,
        "rows": [Shown(name, row, score) for row in rows],
        "score": score,
        "score_names": score_names,
        "is_cut": len(rows) == prompts.MAX_VERSIONS,
        "compared": _compared(project, name, before, after, chosen.range, rows) if after in known else None,
        "one_text": None if len(known) > 1 else _text(project, name, known[0], chosen.range, rows),
    }
    return render(request, "dashboards/prompt.html", context)


@dataclass(frozen=True, slots=True)
class Shown:
    """A version and the name of the score that the page shows as quality."""

    prompt: str
    row: VersionRow
    score: str

    @property
    def quality(self) -> prompts.VersionScore | None:
        """The version's score of that name."""
        return next((score for score in self.row.scores if score.name == self.score), None)

    @property
    def calls(self) -> str:
        """The filter of its calls."""
        return f"prompt:{quote(self.prompt)} prompt_version:{quote(self.row.version)}"

    @property
    def worse(self) -> str:
        """The filter of its calls that scored under its mean; '' where none was judged."""
        return f"{self.calls} score.{quote(self.score)}<{self.quality.mean:.6g}" if self.quality else ""


def _list(request: HttpRequest, project: Project) -> HttpResponse:
    chosen = chosen_range(request)
    page = prompts.list_prompts(project.pk, chosen.range, cursor=request.GET.get("cursor") or None, limit=PAGE_SIZE)
    context = {
        "project": project,
        "chosen": chosen,
        "error": chosen.error,
        "rows": page.items,
        "next_cursor": page.next_cursor,
        **sending_context(project),
    }
    return render(request, "dashboards/prompts.html", context)


def _compared(
    project: Project, name: str, before: str, after: str, span: TimeRange, rows: Sequence[VersionRow]
) -> Compared | None:
    if not before or before == after:
        return None
    old = _text(project, name, before, span, rows)
    new = _text(project, name, after, span, rows)
    return Compared(before, after, old, new, difference(old.text, new.text) if old and new else None)


def _text(
    project: Project, name: str, version: str, span: TimeRange, rows: Sequence[VersionRow]
) -> prompts.VersionText | None:
    seen = next((row.last_seen_ns for row in rows if row.version == version), None)
    return prompts.text_of_version(project.pk, name, version, span, last_seen_ns=seen)
