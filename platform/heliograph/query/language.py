"""The one filter language: `model:gpt-4o latency>2s score.groundedness<0.5 -status:error "refund"`.

- `parse(text, range) -> SpanFilter`; raises FilterTextError, an InvalidFilterError that says where and what to do
- `format(filter) -> str`, which `parse` reads back as the same filter

All terms must hold, on the same span (scores: of its trace). Values of one field are alternatives, with commas or by
naming the field again. What is stored of a rule is its text, so that it reads as it was written.
"""

from dataclasses import replace
from typing import Any, TypeVar

from heliograph.query import fields, quantities
from heliograph.query.conditions import COMPARISONS, Condition, Operator
from heliograph.query.fields import Field
from heliograph.query.filters import InvalidFilterError, ScoreBound, SpanFilter, TimeRange
from heliograph.query.terms import FilterTextError, Term, Value, as_pattern, quote, terms, written, written_pattern

# Fields whose plain choices are fields of SpanFilter, so that facets and rollups know them too.
CHOSEN = (
    "service",
    "environment",
    "release",
    "kind",
    "status",
    "name",
    "model",
    "adapter",
    "provider",
    "host",
    "session",
    "user",
    "tag",
)
_SIDES = {"<": "below", ">": "above", "<=": "at_most", ">=": "at_least"}
_OPERATORS: dict[str, Operator] = {"<": "<", ">": ">", "<=": "<=", ">=": ">="}
Item = TypeVar("Item")
_LOGIC = {"AND", "OR", "NOT", "&&", "||"}


def parse(text: str, span: TimeRange) -> SpanFilter:
    """Return what a text asks for within a time range. Raises FilterTextError."""
    found = _Found()
    for term in terms(text):
        try:
            found.take(term)
        except FilterTextError:
            raise
        except InvalidFilterError as error:
            raise FilterTextError(term.position, f"{error.field} {error.message}") from error
    try:
        return found.filter(span)
    except FilterTextError:
        raise
    except InvalidFilterError as error:
        raise FilterTextError(1, f"{error.field} {error.message}") from error


def format(chosen: SpanFilter) -> str:  # noqa: A001  # the name that a language's two directions have
    """Return a filter as text, its time range left out: `parse` reads it back as the same filter."""
    parts = [_values(name, getattr(chosen, name)) for name in CHOSEN if getattr(chosen, name)]
    for operator, bound in ((">=", chosen.min_duration_ns), ("<=", chosen.max_duration_ns)):
        if bound is not None:
            parts.append(f"latency{operator}{quantities.write(bound, 'duration')}")
    for score in chosen.scores:
        parts += _score_texts(score)
    parts += [_condition_text(condition) for condition in chosen.conditions]
    if chosen.text:
        parts.append(quote(chosen.text))
    return " ".join(parts)


class _Found:
    """What the terms so far ask for."""

    def __init__(self) -> None:
        self.chosen: dict[str, list[Value]] = {}
        self.numbers: dict[str, list[float]] = {}
        self.conditions: list[Condition] = []
        self.scores: list[ScoreBound] = []
        self.words: list[str] = []
        self.least_ns: int | None = None
        self.most_ns: int | None = None

    def take(self, term: Term) -> None:
        if not term.name:
            self._take_words(term)
        elif term.name == "has":
            self._take_presence(term)
        elif term.name.startswith("score."):
            self._take_score(term, term.name.removeprefix("score."))
        elif fields.of_map(term.name):
            self._take_map(term)
        else:
            field = fields.find(term.name)
            if field is None:
                raise _no_field(term)
            if field.is_number:
                self._take_number(term, field)
            else:
                self._take_text(term, field.name, [_checked(field, value) for value in term.values])

    def filter(self, span: TimeRange) -> SpanFilter:
        """Return all of it."""
        choices: dict[str, Any] = {}
        conditions: list[Condition] = []
        for name, values in self.chosen.items():
            condition = _condition(name, values)
            if name in CHOSEN and condition.operator == "is":
                choices[name] = condition.values
            else:
                conditions.append(condition)
        conditions += [Condition(name, "is", numbers=_once(found)) for name, found in self.numbers.items()]
        return SpanFilter(
            range=span,
            **choices,
            min_duration_ns=self.least_ns,
            max_duration_ns=self.most_ns,
            text=" ".join(self.words),
            scores=tuple(self.scores),
            conditions=(*conditions, *dict.fromkeys(self.conditions)),
        )

    def _take_words(self, term: Term) -> None:
        [word] = term.values
        if word.text in _LOGIC and not word.is_quoted:
            raise FilterTextError(
                term.position,
                f"conditions all hold without {word.text}; alternatives are model:a,b, a negation is -model:a; put "
                "the word in quotes to search for it",
            )
        if term.negated:
            self.conditions.append(Condition("text", "text", (word.text,), negated=True))
        else:
            SpanFilter.check_text(word.text)
            self.words.append(word.text)

    def _take_presence(self, term: Term) -> None:
        if term.operator != ":":
            raise FilterTextError(term.position, "has reads has:session")
        scores = [value for value in term.values if value.text.partition(".")[0] == "score"]
        for value in scores:
            if len(term.values) > 1:
                raise FilterTextError(value.position, f"has:{value.text} stands for itself, without other values")
            self.scores.append(ScoreBound(value.text.partition(".")[2], exists=True, negated=term.negated))
        for value in term.values:
            if value not in scores and value.text not in fields.PRESENCE:
                near = fields.nearest(value.text, (*fields.PRESENCE, "score"))
                meant = f"did you mean has:{near}?" if near else f"it knows {', '.join((*fields.PRESENCE, 'score'))}"
                raise FilterTextError(value.position, f"has does not know {value.text}; {meant}", near)
        if not scores:
            names = tuple(dict.fromkeys(value.text for value in term.values))
            self.conditions.append(Condition("has", "has", names, negated=term.negated))

    def _take_score(self, term: Term, name: str) -> None:
        if term.operator == ":" and not all(_is_number(value) for value in term.values):
            bound = ScoreBound(name, labels=_once([value.text for value in term.values]), negated=term.negated)
        elif len(term.values) > 1:
            raise FilterTextError(term.values[1].position, "a score is compared with one number")
        else:
            number = _number(term.values[0], "amount", term.name)
            sides = [_SIDES[term.operator]] if term.operator in _SIDES else ["at_least", "at_most"]
            bound = replace(ScoreBound(name, exists=True, negated=term.negated), **dict.fromkeys(sides, number))  # type: ignore[arg-type]  # sides are bounds
            bound = replace(bound, exists=False)
        self.scores = _with_score(self.scores, bound)

    def _take_map(self, term: Term) -> None:
        if term.operator in _OPERATORS:
            number = _number(_only(term), "amount", term.name)
            self.conditions.append(
                Condition(term.name, _OPERATORS[term.operator], numbers=(number,), negated=term.negated)
            )
        else:
            self._take_text(term, term.name, list(term.values))

    def _take_number(self, term: Term, field: Field) -> None:
        operator, values = term.operator, term.values
        first = next((sign for sign in COMPARISONS if values[0].text.startswith(sign)), "")
        if operator == ":" and first and not values[0].is_quoted:
            # As other tools write it: latency:>2s.
            operator, values = first, (replace(values[0], text=values[0].text.removeprefix(first)), *values[1:])
        if operator != ":" and len(values) > 1:
            raise FilterTextError(values[1].position, f"{field.name} is compared with one number")
        numbers = [_number(value, field.kind, field.name) for value in values]
        if operator == ":":
            if term.negated:
                self.conditions.append(Condition(field.name, "is", numbers=_once(numbers), negated=True))
            else:
                self.numbers.setdefault(field.name, []).extend(numbers)
        elif field.name == "latency" and operator in {"<=", ">="} and not term.negated and numbers[0].is_integer():
            whole = int(numbers[0])
            if operator == ">=":
                self.least_ns = whole if self.least_ns is None else max(self.least_ns, whole)
            else:
                self.most_ns = whole if self.most_ns is None else min(self.most_ns, whole)
        else:
            self.conditions.append(
                Condition(field.name, _OPERATORS[operator], numbers=tuple(numbers), negated=term.negated)
            )

    def _take_text(self, term: Term, name: str, values: list[Value]) -> None:
        if term.operator != ":":
            raise FilterTextError(term.position, f"{name} is no number; write {name}:value")
        if term.negated:
            self.conditions.append(replace(_condition(name, values), negated=True))
        else:
            self.chosen.setdefault(name, []).extend(values)


def _with_score(scores: list[ScoreBound], bound: ScoreBound) -> list[ScoreBound]:
    """Two bounds of a score are one range, and its labels alternatives, as a reader of the text would take them."""
    for place, other in enumerate(scores):
        if other.name != bound.name or bound.negated or other.negated or other.exists:
            continue
        given = {side: getattr(bound, side) for side in _SIDES.values() if getattr(bound, side) is not None}
        if bound.labels and other.labels:
            merged = replace(other, labels=_once([*other.labels, *bound.labels]))
        elif given and not any(getattr(other, side) is not None for side in given):
            merged = replace(other, **given)
        else:
            continue
        return [*scores[:place], merged, *scores[place + 1 :]]
    return [*scores, bound]


def _once(values: list[Item]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(values))


def _only(term: Term) -> Value:
    if len(term.values) > 1:
        raise FilterTextError(term.values[1].position, f"{term.name} is compared with one number")
    return term.values[0]


def _number(value: Value, kind: fields.Kind, name: str) -> float:
    try:
        return quantities.read(value.text, kind)
    except ValueError as error:
        raise FilterTextError(value.position, f"{name} {error}") from error


def _is_number(value: Value) -> bool:
    try:
        quantities.read(value.text, "amount")
    except ValueError:
        return False
    return not value.is_quoted


def _checked(field: Field, value: Value) -> Value:
    if field.name in {"trace", "span"}:
        return replace(value, text=value.text.lower())
    if field.choices and not value.is_pattern and value.text not in field.choices:
        near = fields.nearest(value.text, field.choices)
        meant = f"did you mean {field.name}:{near}?" if near else f"it is one of {', '.join(field.choices)}"
        raise FilterTextError(value.position, f"{field.name} is never {value.text!r}; {meant}", near)
    return value


def _no_field(term: Term) -> FilterTextError:
    near = fields.nearest(term.name)
    meant = f"did you mean {near}?" if near else "the fields are listed under the box"
    if term.name == "score":
        meant = "name the score, such as score.groundedness<0.5"
    if term.name.partition(".")[0] in fields.MAPS:
        meant = f"name the key, such as {term.name.partition('.')[0]}.region:eu, in at most 200 characters"
    return FilterTextError(
        term.position, f"there is no field {term.name}; {meant} To search for these words, put them in quotes.", near
    )


def _condition(name: str, values: list[Value]) -> Condition:
    if not any(value.is_pattern for value in values):
        return Condition(name, "is", _once([value.text for value in values]))
    patterns = [value.text if value.is_pattern else as_pattern(value.text) for value in values]
    return Condition(name, "like", _once(patterns))


def _values(name: str, values: tuple[str, ...]) -> str:
    return f"{_name(name)}:{','.join(written(value) for value in values)}"


def _name(name: str) -> str:
    prefix, dot, key = name.partition(".")
    return f"{prefix}.{key if _is_plain_key(key) else quote(key)}" if dot else name


def _is_plain_key(key: str) -> bool:
    return all(letter.isalnum() or letter in "._-/@" for letter in key)


def _score_texts(score: ScoreBound) -> list[str]:
    sign = "-" if score.negated else ""
    name = _name(f"score.{score.name}")
    if score.exists:
        return [f"{sign}has:{written(f'score.{score.name}' if score.name else 'score')}"]
    found = [f"{sign}{name}:{','.join(quote(label) for label in score.labels)}"] if score.labels else []
    if score.negated and score.at_least is not None and score.at_least == score.at_most:
        return [*found, f"{sign}{name}:{quantities.write(score.at_least, 'amount')}"]
    for operator, side in _SIDES.items():
        bound = getattr(score, side)
        if bound is not None:
            found.append(f"{sign}{name}{operator}{quantities.write(bound, 'amount')}")
    return found


def _condition_text(condition: Condition) -> str:
    sign = "-" if condition.negated else ""
    known = fields.find(condition.field)
    name = _name(condition.field)
    if condition.operator == "text":
        return sign + quote(condition.values[0])
    if condition.numbers:
        values = [quantities.write(number, known.kind if known else "amount") for number in condition.numbers]
        return f"{sign}{name}{':' if condition.operator == 'is' else condition.operator}{','.join(values)}"
    if condition.operator == "like":
        return f"{sign}{name}:{','.join(written_pattern(value) for value in condition.values)}"
    return sign + _values(condition.field, condition.values)
