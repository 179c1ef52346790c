"""An image, a sound or a file that was cut out of a span as an HTTP answer; who may see it is the caller's to say."""

from django.http import FileResponse

from collectors.blobs import media_type
from heliograph.blobs import store

# What a browser draws or plays without running anything that is inside. A PDF may hold scripts.
_INLINE = ("image/", "audio/", "video/")
_MAGIC_BYTES = 16


def answer(project_id: int, until: str, digest: str) -> FileResponse | None:
    """Return a project's blob with the headers that keep what a stranger sent from acting in our name, None without.

    Its type is what its bytes say, never what its sender said. Raises BlobsAwayError.
    """
    file = store.read(project_id, until, digest)
    if file is None:
        return None
    kind = media_type(file.read(_MAGIC_BYTES))
    file.seek(0)
    response = FileResponse(file, content_type=kind)
    place = "inline" if kind.startswith(_INLINE) else "attachment"
    response["Content-Disposition"] = f'{place}; filename="{digest[:16]}.{kind.rpartition("/")[2]}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'"
    # Its name is its content's; but it is the project's alone.
    response["Cache-Control"] = "private, max-age=604800, immutable"
    return response
