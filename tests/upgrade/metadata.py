"""The metadata database of an older version, filled: run in a process with the installation's settings.

`python -m tests.upgrade.metadata fill released.json` makes it with two rows in every table of ours;
`python -m tests.upgrade.metadata unsquashed` takes it on by each migration that a squashed one replaces;
`python -m tests.upgrade.metadata rows` prints every table's rows, a JSON object a line.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from django.apps import apps as installed
from django.apps.registry import Apps
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

ROWS = 2
WHEN = datetime(2026, 1, 5, 12, tzinfo=UTC)


def fill(metadata: dict[str, str]) -> None:
    """Migrate to a state and store rows in it."""
    executor = MigrationExecutor(connection)
    if metadata.items() - executor.loader.graph.nodes.keys():
        executor.loader = unreplaced()
    # Apps of other makers as they are today: which of their versions a release had is not ours to say.
    ours = {config.label for config in installed.get_app_configs() if config.name.startswith("heliograph")}
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in ours] + list(metadata.items())
    state = executor.migrate(targets)
    stored: dict[str, list[Any]] = {}
    for model in ordered(state.apps, ours):
        for number in range(ROWS):
            given = {field.attname: value(field, number, stored) for field in model._meta.fields if wanted(field)}
            stored.setdefault(model._meta.label, []).append(model._base_manager.create(**given).pk)


def unreplaced() -> MigrationLoader:
    """Return the migrations as they were before any of them were squashed, and the squashed ones beside."""
    return MigrationLoader(connection, replace_migrations=False)


def unsquashed() -> None:
    """Migrate as a version did that had no squashed migrations, and leave what it left."""
    executor = MigrationExecutor(connection)
    executor.loader = unreplaced()
    executor.migrate(last_before_squashing(executor.loader))
    for app, name in executor.loader.replacements:
        executor.recorder.record_unapplied(app, name)


def last_before_squashing(loader: MigrationLoader) -> list[tuple[str, str]]:
    """Return the last of each app that needs no squashed one."""
    graph, squashed = loader.graph, loader.replacements.keys()
    former = [node for node in graph.nodes if not squashed & set(graph.forwards_plan(node))]
    followed = {parent.key for node in former for parent in graph.node_map[node].parents if parent.key[0] == node[0]}
    return sorted(set(former) - followed)


def ordered(apps: Apps, ours: set[str]) -> list[type[models.Model]]:
    """Return our models, each after those that it names."""
    left = [model for model in apps.get_models() if model._meta.app_label in ours and model._meta.managed]
    found: list[type[models.Model]] = []
    while left:
        waiting = {model._meta.label for model in left}
        ready = [model for model in left if not needs(model) & waiting - {model._meta.label}]
        assert ready, f"models that need one another: {left}"
        found += ready
        left = [model for model in left if model not in ready]
    return found


def needs(model: type[models.Model]) -> set[str]:
    """Return the labels of models without a row of which there can be none of this."""
    return {field.related_model._meta.label for field in model._meta.fields if field.is_relation and not field.null}


def wanted(field: Any) -> bool:
    """Whether a value has to be made: neither the database nor a default gives one."""
    if isinstance(field, models.AutoField) or field.null:
        return False
    return field.unique or field.is_relation or not field.has_default()


def value(field: Any, number: int, stored: dict[str, list[Any]]) -> Any:
    """Return something that fits a column, another for each row."""
    if field.is_relation:
        return stored[field.related_model._meta.label][number]
    if field.choices:
        return field.choices[number % len(field.choices)][0]
    by_type: dict[type[models.Field[Any, Any]], Any] = {
        models.BooleanField: False,
        models.DateTimeField: WHEN,
        models.DateField: WHEN.date(),
        models.JSONField: {"number": number},
        models.BinaryField: b"bytes",
        models.GenericIPAddressField: "127.0.0.1",
        models.DecimalField: 1,
        models.FloatField: 1.5,
        models.IntegerField: number + 1,
    }
    for kind, given in by_type.items():
        if isinstance(field, kind):
            return given
    if isinstance(field, models.UUIDField):
        return field.get_default() if field.has_default() else f"{number:032x}"
    return f"{field.name}-{number}"[: field.max_length]


def rows() -> Iterator[str]:
    """Yield each row of each table, by table and row."""
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY 1")  # Django's names
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                yield json.dumps([table, dict(zip(names, row, strict=True))], default=str)


if __name__ == "__main__":
    django.setup()
    if sys.argv[1] == "fill":
        fill(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))["metadata"])
    elif sys.argv[1] == "unsquashed":
        unsquashed()
    else:
        sys.stdout.write("\n".join(rows()))
