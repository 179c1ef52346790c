"""What a trace or call cost, as a page says it: list prices of APIs, and the estimated share of one's own GPUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.html import format_html
from django.utils.safestring import SafeString

from heliograph.dashboards.templatetags.units import missing
from heliograph.dashboards.wording import counted
from heliograph.query import attribution_totals
from heliograph.query.attribution import MAX_RANGE, Cost, added
from heliograph.query.costs import together
from heliograph.query.filters import RollupFilter
from heliograph.query.overview import Point
from heliograph.query.prices import gpu_prices
from heliograph.query.quantities import three_figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """A cost in USD, None where none of it is known. `unpriced` calls are left out of it.

    `own` is the share of one's own GPUs in it: an estimate with bounds.
    """

    usd: Decimal | None
    own: Cost | None = None
    unpriced: int = 0

    @property
    def is_estimate(self) -> bool:
        """Whether a share of GPUs is in it."""
        return self.own is not None and self.own.usd is not None

    @property
    def note(self) -> str:
        """What the number is made of, for the hover text."""
        own = self.own
        said = []
        if own is not None and own.usd is not None and self.usd is not None:
            listed = self.usd - own.usd
            if listed:
                said.append(f"${listed} by list prices")
            said.append(
                f"${three_figures(own.usd)} estimated for {three_figures(own.gpu_seconds)} GPU-seconds of your own, "
                f"${three_figures(own.usd_low or 0)} to ${three_figures(own.usd_high or 0)}"
            )
        elif self.usd is not None:
            said.append(f"${self.usd} (USD, list price)")
        if own is not None and own.unpriced_gpu_seconds:
            said.append(f"{three_figures(own.unpriced_gpu_seconds)} GPU-seconds without a price (Settings, GPU prices)")
        if self.unpriced:
            said.append(f"a lower bound: {counted(self.unpriced, 'call')} of a model without a price")
        return "; ".join(said) or "no price is known"

    @property
    def html(self) -> SafeString:
        """The number as pages write it: ~ before an estimate, at least where a part is not known."""
        if self.usd is None:
            return missing(self.note)
        partial = self.unpriced or (self.own is not None and self.own.unpriced_gpu_seconds > 0)
        signs = ("≥ " if partial else "") + ("~" if self.is_estimate else "")
        return format_html('<span class="nowrap" title="{}">{}${}</span>', self.note, signs, three_figures(self.usd))


def money(listed: Decimal | None, unpriced: int, own: Cost | None) -> Money:
    """Add the share of one's own GPUs to what list prices say; the calls that it prices are no longer unpriced."""
    usd, left_out = together(listed, unpriced, own)
    return Money(usd=usd, own=own, unpriced=left_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCosts:
    """What one's own GPUs cost in a range: by the start of each step, together, and in the range before."""

    by_start: Mapping[int, Cost]
    total: Cost | None
    before: Cost | None


def own_costs(project_id: int, chosen: RollupFilter, points: Sequence[Point]) -> OwnCosts:
    """Return the cost of one's own GPUs beside the points of an overview.

    Shares know service, model and adapter: where something else narrows the overview, none can be told. Without a price
    nothing is asked.
    """
    prices = gpu_prices(project_id)
    is_told = not any(getattr(chosen, name) for name in ("environment", "release", "provider", "kind"))
    if not prices or not points or not is_told or chosen.range.end - chosen.range.start > MAX_RANGE:
        return OwnCosts(by_start={}, total=None, before=None)
    narrowed = {name: getattr(chosen, name) for name in ("service", "model", "adapter")}
    span, step = chosen.range.whole_minutes(), points[0].step_s
    by_start = attribution_totals.over_time(project_id, span, prices, step, **narrowed)
    before = attribution_totals.over_time(project_id, span.previous(), prices, step, **narrowed)
    return OwnCosts(by_start=by_start, total=added(by_start.values()), before=added(before.values()))
