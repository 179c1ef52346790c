"""The compiled kernel: spans to columns, columns to bytes. Everything in it is in Python too, which is the reference.

`active()` is None where it could not be built (`MISSING` says why) or is not wanted.
"""

from types import ModuleType

# As in `kernel.h`. A checkout that was updated and not installed again still has the kernel of before.
INTERFACE = 2

try:
    from collectors.kernel import _native
except ImportError as error:  # no C compiler when it was installed, or an interpreter that it was not built for
    _built: ModuleType | None = None
    MISSING = str(error)
else:
    is_ours = getattr(_native, "INTERFACE", 1) == INTERFACE
    _built = _native if is_ours else None
    MISSING = "" if is_ours else "it was built from other sources: install again (pip install -e .)"

_active = _built


def active() -> ModuleType | None:
    """The kernel where it serves; its functions are described in `_native.pyi`."""
    return _active


def use(wanted: bool) -> None:
    """Serve with the kernel where there is one, or with Python alone."""
    global _active  # noqa: PLW0603  # one switch a process, set when it starts
    _active = _built if wanted else None
