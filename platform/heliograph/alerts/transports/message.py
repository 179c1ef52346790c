"""A message in words, from its payload: what people read on every kind of channel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, Literal

from heliograph.alerts.messages import FIRING, RESOLVED, TEST
from heliograph.events.kinds import TITLES, Kind
from heliograph.query.measures import NO_SHARES
from heliograph.query.quantities import COUNTS, DURATIONS, WATTS, scaled, three_figures

# What a template of a person's own may name.
NAMES = ("type", "state", "title", "text", "project", "rule", "severity", "description", "total", "alerts", "url")
# Slack's and Discord's own bounds lie at 3,000 and 4,096 characters.
MAX_TITLE, MAX_TEXT = 200, 2_800


class InvalidTemplateError(ValueError):
    """A template that names what no message has."""


@dataclass(frozen=True, slots=True)
class Message:
    """`key` is the same for all messages on one alert: what incident services find it again by."""

    id: str
    key: str
    payload: Mapping[str, Any]
    state: Literal["firing", "resolved", "info"]
    severity: Literal["critical", "warning", "info"]
    title: str
    text: str
    url: str

    @property
    def project(self) -> str:
        """The project's name."""
        return str(self.payload["data"]["project"]["name"])


def message_of(id: str, payload: Mapping[str, Any], *, title: str = "", text: str = "") -> Message:  # noqa: A002  # as the standard calls it
    """Return the words of a payload, by the channel's own templates where it has some."""
    data = payload["data"]
    words = _alert_words(payload) if payload["type"] in (FIRING, RESOLVED) else _other_words(payload)
    names = words | {"type": payload["type"], "project": data["project"]["name"]}
    alerts = data.get("alerts") or [{}]
    return Message(
        id=id,
        key=f"heliograph-{alerts[0]['key']}" if "key" in alerts[0] else id,
        payload=payload,
        state="firing" if payload["type"] == FIRING else "resolved" if payload["type"] == RESOLVED else "info",
        severity=data.get("rule", {}).get("severity", "info" if payload["type"] == TEST else "warning"),
        title=_filled(title, names, words["title"])[:MAX_TITLE],
        text=_filled(text, names, words["text"])[:MAX_TEXT],
        url=words["url"],
    )


def check_template(template: str) -> None:
    """Raise InvalidTemplateError for a template that cannot be filled."""
    found = Template(template)
    if not found.is_valid():
        raise InvalidTemplateError("Write $name or ${name}, and $$ for a dollar sign.")
    if unknown := sorted(set(found.get_identifiers()) - set(NAMES)):
        raise InvalidTemplateError(f"There is no ${unknown[0]}; there are ${', $'.join(NAMES)}.")


def _filled(template: str, names: Mapping[str, str], usual: str) -> str:
    return Template(template).safe_substitute(names) if template else usual


def _alert_words(payload: Mapping[str, Any]) -> dict[str, str]:
    data, rule = payload["data"], payload["data"]["rule"]
    is_firing = payload["type"] == FIRING
    state = ("still firing" if data["is_repeat"] else "firing") if is_firing else "resolved"
    lines = [_line(rule, alert, is_firing) for alert in data["alerts"]]
    if data["total"] > len(lines):
        lines.append(f"… and {data['total'] - len(lines)} more")
    listed = "\n".join(lines)
    what = f" ({data['total']})" if data["total"] > 1 else f": {_labels(data['alerts'][0])}"
    title = f"{'🔴' if is_firing else '🟢'} {rule['name']} {state}{what}"
    text = f"{rule['title']} over {rule['window_minutes']} min\n{listed}"
    if rule["description"]:
        text += f"\n\n{rule['description']}"
    return {
        "state": state,
        "title": title,
        "text": text,
        "rule": rule["name"],
        "severity": rule["severity"],
        "description": rule["description"],
        "total": str(data["total"]),
        "alerts": listed,
        "url": data["alerts"][0]["url"] if data["total"] == 1 else rule["url"],
    }


def _line(rule: Mapping[str, Any], alert: Mapping[str, Any], is_firing: bool) -> str:
    labels = _labels(alert)
    if not is_firing:
        return f"• {labels}: ended"
    if alert["state"] == "no_data" or alert["value"] is None:
        return f"• {labels}: no data"
    against = f" against {amount(alert['against'], rule)}" if alert["against"] is not None else ""
    reason = f" ({alert['reason']})" if alert["reason"] else ""
    return f"• {labels}: {amount(alert['value'], rule)}{against}{reason}"


def amount(value: float, rule: Mapping[str, Any]) -> str:
    """Return a value in the rule's unit, for people: as pages have numbers, three figures and the unit beside them."""
    if rule["kind"] == "burn_rate":
        return f"{three_figures(value)} times the budget"
    if rule["measure"] in NO_SHARES:
        return three_figures(value)
    return _IN_UNIT.get(rule["unit"], _counted)(value)


def _counted(value: float) -> str:
    return scaled(value, COUNTS)


_IN_UNIT: Mapping[str, Callable[[float], str]] = {
    "1": lambda share: f"{three_figures(100 * share)} %",
    "s": lambda seconds: scaled(1e9 * seconds, DURATIONS) if seconds else "0 s",
    "USD": lambda usd: f"${three_figures(usd)}",
    "Cel": lambda degrees: f"{three_figures(degrees)} °C",
    "W": lambda watts: scaled(watts, WATTS) if watts else "0 W",
    "min": lambda minutes: f"{three_figures(minutes)} min",
}


def _labels(alert: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value or '(none)'}" for name, value in alert["labels"].items()) or "everything"


def _other_words(payload: Mapping[str, Any]) -> dict[str, str]:
    data, kind = payload["data"], payload["type"]
    if kind == TEST:
        title, text = "Test from Heliograph", data["message"]
    else:
        title = TITLES[Kind(kind)]
        text = "\n".join(
            f"{name}: {value}" for name, value in data["event"].items() if isinstance(value, (str, int, float))
        )
    url = data.get("event", {}).get("url", "")
    names = dict.fromkeys(("rule", "severity", "description", "alerts"), "")
    return names | {
        "state": "info",
        "title": title,
        "text": text,
        "total": "1",
        "url": url if isinstance(url, str) else "",
    }
