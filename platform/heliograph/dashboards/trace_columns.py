"""The columns of the list of traces: which a reader chose, in the address."""

from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `css` are the classes of its cells."""

    key: str
    label: str
    css: str = "small"

    @property
    def is_number(self) -> bool:
        """Whether its heading stands at the right."""
        return "num" in self.css


COLUMNS = (
    Column("time", "Time", "small when"),
    Column("trace", "Trace", "what"),
    Column("text", "Input, output", "text"),
    Column("model", "Model", "small models"),
    Column("took", "Duration, first token", "num took"),
    Column("tokens", "Tokens, cost", "num"),
    Column("scores", "Scores", "scores"),
    Column("session", "Session", "small cutting"),
    Column("user", "User", "small cutting"),
    Column("tags", "Tags", "small cutting"),
    Column("environment", "Environment"),
    Column("release", "Release"),
    Column("host", "Hosts", "small cutting"),
    Column("kind", "Kind"),
    Column("calls", "Model calls", "num"),
    Column("errors", "Errors", "num"),
    Column("cached", "Cached tokens", "num"),
    Column("id", "Trace id", "mono cutting"),
)
DEFAULT = ("time", "trace", "text", "model", "took", "tokens", "scores")


def chosen_columns(request: HttpRequest) -> tuple[Column, ...]:
    """Return the columns of `?cols=`, in the table's order; the usual ones where it names none that there is."""
    wanted = {name for value in request.GET.getlist("cols") for name in value.split(",")}
    found = tuple(column for column in COLUMNS if column.key in wanted)
    return found or tuple(column for column in COLUMNS if column.key in DEFAULT)
