"""Results that may be missing, and results that cannot be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that there is not, and why."""

    reason: str


class DataError(ValueError):
    """Inputs that contradict the hardware, such as a use of its arithmetic above 100 %."""


def share_of_peak(name: str, value: float) -> float:
    """Return a share of what the hardware can do. Raises DataError above 1 (but for rounding)."""
    if value > 1.0005:
        raise DataError(
            f"{name} would be {value:.0%}: the peak (its precision or sparsity), the parameters, the number of GPUs or"
            " the measured rate is wrong"
        )
    return min(value, 1.0)
