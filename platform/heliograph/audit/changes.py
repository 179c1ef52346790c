"""Which rows a piece of work changes, and which of their fields: by Django's signals, while somebody collects.

`QuerySet.update` and `bulk_create` send no signals; what is done by them is in the log by its action alone, or as
whoever does it says (`note`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

# More rows than this at once is a bulk; the entry says how many.
MAX_CHANGES = 50
_OURS = "heliograph."
_BEFORE = "_audit_before"
_WAYS_IN = frozenset({"mfa.Authenticator", "socialaccount.SocialAccount", "usersessions.UserSession"})

_collected: ContextVar["list[dict[str, Any]] | None"] = ContextVar("collected", default=None)


@contextmanager
def collected() -> Iterator[list[dict[str, Any]]]:
    """Collect what changes inside; yields the list that it is put in."""
    found: list[dict[str, Any]] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def listen() -> None:
    """Listen to every model of ours, and to what is said of a person's ways to sign in."""
    for model in apps.get_models():
        is_ours = model.__module__.startswith(_OURS) and not model.__module__.startswith("heliograph.audit")
        if is_ours or model._meta.label in _WAYS_IN:
            pre_save.connect(_note_before, sender=model, dispatch_uid=f"audit.{model._meta.label}")
            post_save.connect(_note_save, sender=model, dispatch_uid=f"audit.{model._meta.label}")
            post_delete.connect(_note_delete, sender=model, dispatch_uid=f"audit.{model._meta.label}")
    m2m_changed.connect(_note_links, dispatch_uid="audit")


def note(instance: models.Model, what: str, fields: list[str]) -> None:
    """Say what was done to a row, or to those below it, in bulk."""
    if _collected.get() is not None:
        _add(instance, what, fields)


def forget() -> None:
    """Forget what was noted so far: it was undone."""
    if (found := _collected.get()) is not None:
        found.clear()


def _note_before(instance: models.Model, **_: Any) -> None:
    if _collected.get() is None or instance._state.adding:
        return
    before = type(instance)._base_manager.filter(pk=instance.pk).values().first()
    setattr(instance, _BEFORE, before)


def _note_save(instance: models.Model, created: bool, update_fields: Any = None, **_: Any) -> None:
    if _collected.get() is None:
        return
    if created:
        _add(instance, "created", [])
        return
    before = getattr(instance, _BEFORE, None) or {}
    fields = [
        field.name
        for field in instance._meta.concrete_fields
        if (update_fields is None or field.name in update_fields or field.attname in update_fields)
        and field.attname in before
        and before[field.attname] != field.to_python(getattr(instance, field.attname))
    ]
    if fields:
        _add(instance, "changed", fields)


def _note_delete(instance: models.Model, **_: Any) -> None:
    if _collected.get() is not None:
        _add(instance, "removed", [])


def _note_links(instance: models.Model, action: str, sender: Any, **_: Any) -> None:
    if _collected.get() is not None and action in {"post_add", "post_remove", "post_clear"}:
        _add(instance, "changed", [sender._meta.model_name])


def _add(instance: models.Model, what: str, fields: list[str]) -> None:
    found = _collected.get()
    assert found is not None  # who calls has looked
    if len(found) >= MAX_CHANGES:
        found[-1] = {"what": "more", "count": found[-1].get("count", 1) + 1}
        return
    change = {"kind": str(instance._meta.verbose_name), "id": str(instance.pk), "name": str(instance)[:100]}
    found.append(change | {"what": what, "fields": fields})
