"""Views of the list of traces and dashboards that a person named, shared by the project or one's own."""

from typing import Any

from django.db import models
from django.db.models import Q

from heliograph.accounts.models import Project, User


class _Named(models.Model):
    """Something of a project with a name; `is_shared` shows it to everybody who may open the project."""

    name = models.CharField(max_length=80)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class SavedView(_Named):
    """A list as it was: `query` is the address's query string, filter, columns and time range in it."""

    # A list of names that somebody still reads.
    MOST = 200
    MAX_QUERY = 6_000

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="saved_views")
    author = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    query = models.CharField(max_length=MAX_QUERY, blank=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "author", "name"], name="saved_view_once")]


class Dashboard(_Named):
    """Panels in an order; `panels` is what `heliograph.query.boards` reads and writes, checked before it is stored."""

    MOST = 100

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="dashboards")
    author = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="dashboards")
    panels = models.JSONField(default=list)

    class Meta:
        ordering = ["name", "pk"]


def views_for(project: Project, user: User) -> "models.QuerySet[SavedView]":
    """Return a reader's own views of a project and the shared ones."""
    return SavedView.objects.filter(Q(author=user) | Q(is_shared=True), project=project)


def dashboards_for(project: Project, user: User | None) -> "models.QuerySet[Dashboard]":
    """Return the shared dashboards of a project, and the reader's own; a key without a person has the shared ones."""
    mine: Any = Q(is_shared=True) | Q(author=user) if user else Q(is_shared=True)
    return Dashboard.objects.filter(mine, project=project)
