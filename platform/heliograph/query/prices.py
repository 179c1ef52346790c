"""The prices of a project's GPUs, as the questions about cost take them."""

from heliograph.accounts.models import GpuPrice
from heliograph.query.attribution import Price


def gpu_prices(project_id: int) -> list[Price]:
    """Return the prices that were entered for a project, at most GpuPrice.MOST, the latest first."""
    rows = GpuPrice.objects.filter(project=project_id)[: GpuPrice.MOST]
    return [
        Price(
            valid_from=row.valid_from, usd_per_gpu_hour=row.usd_per_gpu_hour, usd_per_kwh=row.usd_per_kwh, pue=row.pue
        )
        for row in rows
    ]
