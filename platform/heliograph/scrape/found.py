"""Targets that a file or Kubernetes names, as rows: what is new is added, what is gone goes."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.scrape.models import MAX_TARGETS, Discovery, ScrapeTarget


class DiscoveryError(Exception):
    """A look for targets that failed as a whole: those that were found before stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A target that was found. `project` is a slug, '' for the one that the settings name."""

    url: str
    name: str
    project: str = ""
    interval_s: int = 15
    timeout_s: int = 5
    labels: dict[str, str] = field(default_factory=dict)
    auth: dict[str, str] = field(default_factory=dict)


def keep(source: str, targets: Iterable[Found], default_project: str) -> None:
    """Make the targets of a source those that were found; a pause that a person set stays.

    What is wrong with one of them is said in `Discovery.error`; the others are kept.
    """
    wanted: dict[tuple[int, str], Found] = {}
    faults: list[str] = []
    projects = {project.slug: project for project in Project.objects.all()}
    for target in targets:
        project = projects.get(target.project or default_project)
        if project is None:
            faults.append(f"{target.url}: there is no project {target.project or default_project}")
        elif len(wanted) >= MAX_TARGETS:
            faults.append(f"more than {MAX_TARGETS} targets")
            break
        else:
            wanted[project.pk, target.url] = target
    rows = {(row.project_id, row.url): row for row in ScrapeTarget.objects.filter(source=source)}
    for key, target in wanted.items():
        row = rows.pop(key, None) or ScrapeTarget(project_id=key[0], url=target.url, source=source)
        fault = _save(row, target)
        if fault:
            faults.append(f"{target.url}: {fault}")
    ScrapeTarget.objects.filter(pk__in=[row.pk for row in rows.values()]).delete()
    note(source, len(wanted), "; ".join(faults))


def note(source: str, found: int | None, error: str) -> None:
    """Remember how a look went; `found` is None where it failed as a whole."""
    values: dict[str, object] = {"looked_at": timezone.now(), "error": error[:500]}
    if found is not None:
        values["found"] = found
    Discovery.objects.update_or_create(source=source, defaults=values)


def _save(row: ScrapeTarget, target: Found) -> str:
    """Save a row where it is new or differs; return what is wrong with it, or ''."""
    values = {
        "name": target.name,
        "interval_s": target.interval_s,
        "timeout_s": target.timeout_s,
        "labels": target.labels,
        "auth": target.auth,
    }
    if row.pk and all(getattr(row, name) == value for name, value in values.items()):
        return ""
    for name, value in values.items():
        setattr(row, name, value)
    try:
        row.full_clean()
    except ValidationError as error:
        return " ".join(error.messages)
    row.save()
    return ""
