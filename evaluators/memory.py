"""What running out of memory looks like: a fault of the machine at this moment, never of what was to be judged."""

import sys


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether the machine or a device had no memory left.

    Asks torch only where it is loaded: a process that serves pages imports this and no model, and must stay small.
    """
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
