"""One condition on a span beyond the plain choices of `SpanFilter`: patterns, sizes, attributes, negations."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from heliograph.query import fields, words
from heliograph.query.clauses import Clause, InvalidFilterError, Parameters, all_of, check_values, one_of

Operator = Literal["is", "like", "has", "text", "<", "<=", ">", ">="]
COMPARISONS = ("<=", ">=", "<", ">")
# A person writes a handful; each may cost a column of reading.
MAX_CONDITIONS = 32


@dataclass(frozen=True, slots=True)
class Condition:
    """What a span must be, or with `negated` must not be: of a condition and its negation, every span fulfils one.

    `values` are alternatives of `is`, `like` (`*` stands for any text, a backslash before `*` or itself for the letter)
    and `has` (names of `fields.PRESENCE`); `text` holds words that stand together in the input or in the output.
    `numbers` are alternatives of `is`, and the one bound of a comparison: ns, USD or a count.
    """

    field: str
    operator: Operator
    values: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    negated: bool = False

    def __post_init__(self) -> None:
        check_values(self.field, self.values)
        known = fields.find(self.field)
        if self.operator in {"has", "text"}:
            _check_words(self)
        elif known is None and not fields.of_map(self.field):
            raise InvalidFilterError(self.field, "is no field")
        elif self.numbers:
            if known is not None and not known.is_number:
                raise InvalidFilterError(self.field, "is not compared by size")
            if not all(math.isfinite(number) for number in self.numbers):
                raise InvalidFilterError(self.field, "must be a finite number")
            if self.values or self.operator in {"like"} or (self.operator != "is" and len(self.numbers) != 1):
                raise InvalidFilterError(self.field, "needs one number to compare with")
        elif not self.values or self.operator not in {"is", "like"} or (known is not None and known.is_number):
            raise InvalidFilterError(self.field, "needs a number" if known and known.is_number else "needs a value")

    @property
    def is_of_calls(self) -> bool:
        """Whether it speaks of what single calls have and a request as a whole has not."""
        known = fields.find(self.field)
        return self.operator == "text" or (known is not None and known.of_calls)

    def where(self, number: int) -> Clause:
        """Return the condition over `spans`; `number` keeps its parameters apart from those of the others."""
        sql, parameters = self._positive(f"c{number}")
        # A number that the span does not say is neither over nor under: it belongs to the negation.
        return f"NOT ifNull({sql}, 0)" if self.negated else sql, parameters

    def _positive(self, prefix: str) -> Clause:
        if self.operator == "text":
            return one_of(words.containing(self.values[0], prefix)) or ("1", {})
        if self.operator == "has":
            return " OR ".join(fields.PRESENCE[value] for value in self.values), {}
        known = fields.find(self.field)
        if known is None:
            return _of_map(self, prefix)
        if self.numbers:
            return _compared(known.expression, self, prefix)
        if known.kind == "list":
            return _of_list(known.expression, self, prefix)
        return _of_text(known.expression, self, prefix)


def _check_words(condition: Condition) -> None:
    if not condition.values or condition.numbers:
        raise InvalidFilterError(condition.field, "needs a value")
    if condition.operator == "has":
        unknown = [value for value in condition.values if value not in fields.PRESENCE]
        if unknown:
            raise InvalidFilterError("has", f"does not know {unknown[0]!r}; it knows {', '.join(fields.PRESENCE)}")
    elif len(condition.values) != 1 or not 1 <= len(words.split(condition.values[0])) <= words.MAX_SEARCH_WORDS:
        raise InvalidFilterError("text", f"needs from 1 to {words.MAX_SEARCH_WORDS} words")


def _of_text(expression: str, condition: Condition, prefix: str) -> Clause:
    if condition.operator == "is":
        return f"{expression} IN %({prefix})s", {prefix: condition.values}
    patterns = [(f"{expression} LIKE %({prefix}_{n})s", value) for n, value in enumerate(condition.values)]
    return _either(patterns, prefix)


def _of_list(expression: str, condition: Condition, prefix: str) -> Clause:
    if condition.operator == "is":
        return f"hasAny({expression}, %({prefix})s)", {prefix: list(condition.values)}
    patterns = [
        (f"arrayExists(v -> v LIKE %({prefix}_{n})s, {expression})", value) for n, value in enumerate(condition.values)
    ]
    return _either(patterns, prefix)


def _either(patterns: list[tuple[str, str]], prefix: str) -> Clause:
    parameters: Parameters = {f"{prefix}_{number}": _like(value) for number, (_, value) in enumerate(patterns)}
    return " OR ".join(sql for sql, _ in patterns), parameters


def _of_map(condition: Condition, prefix: str) -> Clause:
    found = fields.of_map(condition.field)
    assert found is not None  # __post_init__ saw to it
    column, key = found
    named: Clause = ("1", {f"{prefix}_key": key})
    value = f"{column}[%({prefix}_key)s]"
    if condition.numbers:
        return all_of(named, _compared(f"toFloat64OrNull({value})", condition, prefix))
    return all_of(named, _of_text(value, condition, prefix))


def _compared(expression: str, condition: Condition, prefix: str) -> Clause:
    operator = "=" if condition.operator == "is" else condition.operator
    parameters: Parameters = {
        f"{prefix}_{place}": int(number) if number.is_integer() else number
        for place, number in enumerate(condition.numbers)
    }
    return " OR ".join(f"{expression} {operator} %({name})s" for name in parameters), parameters


_PIECE = re.compile(r"\\(.)|(.)", re.DOTALL)


def _like(pattern: str) -> str:
    """Return a pattern as LIKE's: there, `%` is any text, `_` any letter, and a backslash takes either literally."""
    letters = (
        f"\\{letter}" if (letter := escaped or plain) in "%_\\" else letter if escaped or plain != "*" else "%"
        for escaped, plain in _PIECE.findall(pattern)
    )
    return "".join(letters)
