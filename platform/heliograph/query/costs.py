"""What calls cost by list prices and by the share of one's own GPUs, as one number."""

from decimal import Decimal

from heliograph.query.attribution import Cost


def together(listed: Decimal | None, unpriced: int, own: Cost | None) -> tuple[Decimal | None, int]:
    """Return the cost in USD, None where none of it is known, and how many calls are left out of it.

    Calls that ran on a GPU with a price are no longer unpriced.
    """
    if own is None or own.usd is None:
        return listed, unpriced
    return (listed or Decimal(0)) + own.usd, max(0, unpriced - own.requests)
