"""The compiled kernel: spans to columns, columns to bytes. Everything in it is in Python too, which is the reference.

`active()` is None where it could not be built (`MISSING` says why) or is not wanted.
"""

from types import ModuleType

try:
    from collectors.kernel import _native
except ImportError as error:  # no C compiler when it was installed, or an interpreter that it was not built for
    _built: ModuleType | None = None
    MISSING = str(error)
else:
    _built = _native
    MISSING = ""

_active = _built


def active() -> ModuleType | None:
    """The kernel where it serves; its functions are described in `_native.pyi`."""
    return _active


def use(wanted: bool) -> None:
    """Serve with the kernel where there is one, or with Python alone."""
    global _active  # noqa: PLW0603  # one switch a process, set when it starts
    _active = _built if wanted else None
