"""What running out of memory looks like: a fault of the machine at this moment, never of what was to be judged."""

import torch

OUT_OF_MEMORY: tuple[type[Exception], ...] = (MemoryError, torch.OutOfMemoryError)
