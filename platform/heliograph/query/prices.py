"""The prices of a project's GPUs and its policy of sharing them out, as the questions about cost take them."""

from typing import cast, get_args

from heliograph.accounts.models import AttributionPolicy, GpuPrice
from heliograph.clickhouse import client
from heliograph.query.attribution import Price
from heliograph.query.sharing import DEFAULT_WEIGHTS, Per, Weights


def gpu_prices(project_id: int) -> list[Price]:
    """Return the prices that were entered for a project, at most GpuPrice.MOST, the latest first."""
    rows = GpuPrice.objects.filter(project=project_id)[: GpuPrice.MOST]
    return [
        Price(
            valid_from=row.valid_from,
            usd_per_gpu_hour=row.usd_per_gpu_hour,
            usd_per_kwh=row.usd_per_kwh,
            pue=row.pue,
            gpu_name=row.gpu_name,
        )
        for row in rows
    ]


def weights_of(project_id: int) -> Weights:
    """Return the weights by which a project's GPUs are shared out."""
    policy = AttributionPolicy.objects.filter(project=project_id).first()
    if policy is None or policy.per not in get_args(Per):
        return DEFAULT_WEIGHTS
    return Weights(policy.prefill, policy.decode, cast("Per", policy.per))


GPU_MODELS = """
SELECT DISTINCT gpu_name
FROM gpu_processes
WHERE project_id = %(project_id)s AND gpu_name != ''
ORDER BY gpu_name
LIMIT 100
"""


def gpu_models(project_id: int) -> list[str]:
    """Return the models of the project's GPUs that served some process, as the agent names them; 100 at most."""
    return [row["gpu_name"] for row in client.query(project_id, GPU_MODELS, tag="prices.gpu_models")]
