"""A copy of everything that this installation stores, and its way back. docs/backup.md says it for people.

    <HELIOGRAPH_BACKUP_DIR>/<name>/
      manifest.json     what it is and of which versions
      SHA256SUMS        every other file, as `sha256sum --check` reads it
      metadata.*        Django's database
      store/            ClickHouse's own BACKUP, where its disk is a folder of this machine
      blobs/            images, sound and files, where they are in a folder

Metadata comes first, then the store, then the blobs. So a watermark in the copy is never ahead of the spans and scores
that it speaks of (what lies between is judged again, under the same keys), and every blob that a span names is there.
"""
