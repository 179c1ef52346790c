"""Put a copy back: checked before anything is touched, and begun anew where it was interrupted."""

import shutil
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from heliograph.backup import blobs, local_store, metadata, store
from heliograph.backup.errors import BackupError
from heliograph.backup.make import ROOM_LEFT, alone, secrets_fingerprint
from heliograph.backup.manifest import Manifest, check_sums
from heliograph.clickhouse import migrate
from heliograph.running import is_up


def put_back(name: str, say: Callable[[str], None], *, replace: bool) -> Manifest:
    """Make this installation what it was when the backup was made. Raises BackupError, StoreError, OSError.

    What is stored now is lost; unless `replace` says that this is meant, only an installation is taken that stores
    nothing. An interrupted restore leaves neither the old nor the new, and a mark that keeps `heliograph up` from
    starting on it; the same command again makes it whole.
    """
    if is_up():
        raise BackupError("Heliograph runs. Stop it first (Ctrl-C where `heliograph up` runs, or its service).")
    folder = Path(settings.BACKUP_DIR) / name
    manifest = Manifest.read(folder)
    with alone(folder.parent):
        _refuse_other_kinds(manifest)
        say(f"checking {check_sums(folder)} files")
        with local_store.answering():
            _refuse_to_overwrite(name, replace=replace)
            _refuse_without_room(folder, manifest)
            mark = interrupted_mark()
            mark.write_text(name, encoding="utf-8")
            _replace_all(folder, manifest, say)
            mark.unlink()
    if manifest.secrets_fingerprint != secrets_fingerprint():
        say(
            "Secrets that are stored encrypted (tokens of alert channels, keys of judges) cannot be read here: this is "
            "another HELIOGRAPH_SECRET_KEY. Take that of the machine that was copied (`secret-key` in its data folder) "
            "or enter them again."
        )
    return manifest


def _replace_all(folder: Path, manifest: Manifest, say: Callable[[str], None]) -> None:
    say("store")
    store.load(manifest.database, manifest.disk, f"{manifest.name}/store")
    say("checking the store")
    store.check(manifest.rows)
    say("metadata")
    metadata.load(folder / manifest.metadata_file)
    if manifest.blobs_elsewhere:
        say(f"blobs stay where they are: {manifest.blobs_elsewhere}")
    elif (folder / "blobs").exists():
        say("blobs")
        blobs.load(folder / "blobs")
    say("bringing both databases up to this version")
    call_command("migrate", interactive=False, verbosity=0)
    for migration in migrate.migrate(accept_rewrites=True):
        say(f"applied {migration.name}")


def _refuse_without_room(folder: Path, manifest: Manifest) -> None:
    """Raise BackupError where what is stored now would be removed for a copy that does not fit (docs/adr/0079)."""
    needed, freed = (folder / manifest.metadata_file).stat().st_size, 0
    if settings.EMBEDDED_STORE:
        needed += sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())
        freed = store.size()
    if not manifest.blobs_elsewhere and (folder / "blobs").exists():
        needed += blobs.size_to_load(folder / "blobs")
    free = shutil.disk_usage(settings.DATA_DIR).free
    if free + freed < needed + ROOM_LEFT:
        raise BackupError(
            f"{manifest.name} takes {needed / 2**20:,.0f} MiB. {settings.DATA_DIR} has {free / 2**20:,.0f} MiB free, "
            f"the restore frees {freed / 2**20:,.0f}, and {ROOM_LEFT / 2**20:,.0f} of them stay so. Make room first. "
            "Nothing was touched."
        )


def interrupted_mark() -> Path:
    """Return the file that is there from a restore's first change to its end, and holds the backup's name."""
    return Path(settings.DATA_DIR) / "restoring"


def _refuse_other_kinds(manifest: Manifest) -> None:
    if manifest.metadata_vendor != connection.vendor:
        raise BackupError(
            f"{manifest.name} holds a {manifest.metadata_vendor} database, and DATABASE_URL names one of "
            f"{connection.vendor}. Restore it into its own kind."
        )
    known = {str(migration.number) for migration in migrate.read_migrations()}
    newer = [name for number, name, _ in manifest.schema if number not in known]
    loader = MigrationLoader(None)
    ours = {".".join(key) for key in loader.disk_migrations}
    newer += [each for each in manifest.migrations if each not in ours]
    if newer:
        raise BackupError(
            f"{manifest.name} was made by Heliograph {manifest.heliograph}, which is newer than this one "
            f"({', '.join(newer[:3])} are not known here). Install that version."
        )


def _refuse_to_overwrite(name: str, *, replace: bool) -> None:
    mark = interrupted_mark()
    if replace or (mark.exists() and mark.read_text(encoding="utf-8") == name):
        return
    if not metadata.is_empty() or not store.is_empty():
        raise BackupError("There are data here, which a restore would replace. Say --replace if that is meant.")
