"""`python -m tests.upgrade.released 1.2.0`: write down the schemas of a version that is released.

The test beside it makes an installation of that state, fills it and upgrades it to what the checkout has. So this is
run and committed with each release, on the release's own commit; the next version is then tested from it.
"""

import json
import os
import sys
from pathlib import Path

import django
from django.db.migrations.loader import MigrationLoader

from heliograph.clickhouse import migrate

STATE = Path(__file__).with_name("released.json")


def state_of(version: str) -> str:
    """Return the state of this checkout, as it is kept."""
    loader = MigrationLoader(None)
    ours = {config.label for config in django.apps.apps.get_app_configs() if config.name.startswith("heliograph")}
    metadata = {app: name for app, name in sorted(loader.graph.leaf_nodes()) if app in ours}
    state = {"version": version, "store": migrate.read_migrations()[-1].number, "metadata": metadata}
    return json.dumps(state, indent=2) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
    django.setup()
    STATE.write_text(state_of(sys.argv[1]), encoding="utf-8")
