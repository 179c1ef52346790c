"""Numbers as people read them: three significant figures and the unit beside them; the exact value on hover.

A missing number is an en dash whose hover text says why, never 0.
"""

from datetime import UTC, datetime
from decimal import Decimal

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from heliograph.query.quantities import COUNTS, DURATIONS, WATTS, scaled, three_figures

register = template.Library()

Number = int | float | Decimal


_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))


def known(value: Number | str | None) -> Number | None:
    """Return the number; None also for the '' that Django's templates make of a key which a JSON result lacks."""
    return None if isinstance(value, str) else value


def missing(reason: str = "not reported") -> SafeString:
    """Return the en dash that stands for a number that is not known."""
    return format_html('<span class="muted" title="{}">–</span>', reason)


def _shown(text: str, exact: str) -> SafeString:
    return format_html('<span class="nowrap" title="{}">{}</span>', exact, text)


@register.filter
def duration(nanoseconds: Number | str | None, reason: str = "not reported") -> SafeString:
    """Nanoseconds as 842 ms or 1.24 s."""
    if (nanoseconds := known(nanoseconds)) is None:
        return missing(reason)
    return _shown(scaled(nanoseconds, DURATIONS), f"{int(nanoseconds):,} ns")


@register.filter
def count(value: Number | str | None, reason: str = "not reported") -> SafeString:
    """A count as 12.3 k."""
    if (value := known(value)) is None:
        return missing(reason)
    return _shown(scaled(value, COUNTS), f"{value:,}")


@register.filter
def size(value: Number | str | None) -> SafeString:
    """Bytes as 1.8 GB."""
    return missing() if (value := known(value)) is None else _shown(scaled(value, _BYTES), f"{int(value):,} B")


@register.filter
def usd(value: Number | str | None, reason: str = "no price is known for this model") -> SafeString:
    """US dollars as $0.0042."""
    if (value := known(value)) is None:
        return missing(reason)
    return _shown(f"${three_figures(value)}", f"${value} (USD, list price)")


@register.filter
def reported_usd(value: Number | str | None) -> SafeString:
    """US dollars that a sender reports, as $0.0042."""
    if (value := known(value)) is None:
        return missing()
    return _shown(f"${three_figures(value)}", f"${value} (USD, as the sender reports it)")


@register.filter
def percent(share: Number | str | None, reason: str = "nothing to divide") -> SafeString:
    """A share from 0 to 1 as 71 %."""
    if (share := known(share)) is None:
        return missing(reason)
    return _shown(f"{three_figures(float(share) * 100)} %", f"{share}")


@register.filter
def seconds(value: Number | str | None, reason: str = "not reported") -> SafeString:
    """Seconds as 842 ms or 1.24 s."""
    if (value := known(value)) is None:
        return missing(reason)
    return _shown(scaled(float(value) * 1e9, DURATIONS) if value else "0 s", f"{value} s")


@register.filter
def watts(value: Number | str | None, reason: str = "not reported") -> SafeString:
    """Watts as 640 W or 4.8 kW."""
    if (value := known(value)) is None:
        return missing(reason)
    return _shown(scaled(value, WATTS), f"{value} W")


@register.filter
def joules(value: Number | str | None, reason: str = "not reported") -> SafeString:
    """Joules as 640 J or 4.8 kJ."""
    if (value := known(value)) is None:
        return missing(reason)
    return _shown(scaled(value, ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"), (1, "J"))), f"{value} J")


@register.filter
def celsius(value: Number | str | None, reason: str = "not reported") -> SafeString:
    """Degrees Celsius as 71 °C."""
    return missing(reason) if (value := known(value)) is None else _shown(f"{three_figures(value)} °C", f"{value} °C")


@register.filter
def change(ratio: Number | str | None) -> SafeString:
    """A relative change as 12 %, or as a factor where per cent would be hard to read: × 25."""
    if (ratio := known(ratio)) is None:
        return missing("the period before has nothing to compare with")
    exact = f"{float(ratio) * 100:+,.1f} %"
    return _shown(
        f"× {three_figures(float(ratio) + 1)}" if ratio > 9 else f"{three_figures(abs(float(ratio)) * 100)} %", exact
    )


@register.filter
def figure(value: Number | str | None, reason: str = "not reported") -> SafeString:
    """A plain number with three significant figures."""
    return missing(reason) if (value := known(value)) is None else _shown(three_figures(value), str(value))


@register.filter
def moment(at: datetime | int | None) -> SafeString:
    """A time, as an aware datetime or nanoseconds since the epoch; the browser turns it into the reader's zone."""
    if at is None:
        return missing()
    if isinstance(at, int):
        at = datetime.fromtimestamp(at / 1e9, UTC)
    utc = at.astimezone(UTC)
    exact = utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return format_html('<time class="nowrap" datetime="{}">{}</time>', exact, utc.strftime("%Y-%m-%d %H:%M:%S"))


@register.filter
def initial_upper(text: str) -> str:
    """Return the text with its first letter in upper case and the rest as it is."""
    return text[:1].upper() + text[1:]


@register.filter
def hertz(value: Number | str | None, reason: str = "no reading inside this time") -> SafeString:
    """A frequency as 1.98 GHz."""
    if (value := known(value)) is None:
        return missing(reason)
    return _shown(scaled(value, ((1e9, "GHz"), (1e6, "MHz"), (1, "Hz"))), f"{value} Hz")


@register.filter
def gpu_seconds(value: Number | str | None, reason: str = "not known") -> SafeString:
    """Seconds of GPUs as 3.2 GPU-h or 19 GPU-s."""
    if (value := known(value)) is None:
        return missing(reason)
    return _shown(scaled(value, ((3_600, "GPU-h"), (1, "GPU-s"), (1e-3, "GPU-ms"))), f"{value} GPU-seconds")


@register.filter
def unlocalized(value: float) -> str:
    """A number as SVG reads it, whatever the reader's language."""
    return str(value)


@register.filter
def typed(value: object) -> str:
    """What a field of a form holds: whole numbers without a point, nothing for nothing, what was typed as it is."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


@register.filter
def words(value: object) -> str:
    """A list of names as it is typed, and what was typed as it is."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


@register.filter
def gate_time(value: Number | str | None, source: str) -> SafeString:
    """A time of a gate: nanoseconds of live traffic, milliseconds of a run over a data set."""
    number = known(value)
    return duration(None if number is None else float(number) * (1 if source == "live" else 1e6), "nothing compared")


@register.filter
def signal_value(value: Number | str | None, signal: str) -> SafeString | str:
    """A value of a drift monitor's signal in its unit; what is no number stays as it is."""
    if isinstance(value, str):
        try:
            return signal_value(float(value), signal)
        except ValueError:
            return value
    if signal in ("latency", "ttft"):
        return duration(value)
    return usd(value) if signal == "cost" else figure(value)
