"""What an annotator said, checked against the rubric."""

from collections.abc import Mapping, Sequence
from typing import Any

from heliograph.annotation.rubric import NO, YES, Dimension, Kind

# A long answer of a model has about 30,000.
MAX_CORRECTION = 100_000


class InvalidAnswerError(ValueError):
    """An answer that the rubric does not allow; `name` is the score at fault, '' the answer as a whole."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}" if name else message)
        self.name = name
        self.message = message


def check_answer(rubric: Sequence[Dimension], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an annotator said, by name: numbers as float, yes and no as bool, the rest as text.

    What is left out, empty or null is absent. Raises InvalidAnswerError, also where a score that is not optional is
    missing, or nothing was said at all.
    """
    known = {each.name: each for each in rubric}
    if unknown := sorted(set(given) - set(known)):
        raise InvalidAnswerError(unknown[0], f"is no score of this queue; it asks for {', '.join(known)}")
    said = {}
    for name, each in known.items():
        value = given.get(name)
        if value is None or value == "":
            if not each.is_optional:
                raise InvalidAnswerError(name, "is missing: choose one, or skip the answer")
            continue
        said[name] = _read(each, value)
    if not said:
        raise InvalidAnswerError("", "Nothing was said: give a score or a correction, or skip the answer.")
    return said


def _read(each: Dimension, value: Any) -> Any:
    if each.kind == Kind.CORRECTION:
        return _correction(each, value)
    if each.kind == Kind.NUMBER:
        return _number(each, value)
    if each.kind == Kind.CATEGORY:
        if value not in each.options:
            raise InvalidAnswerError(each.name, f"is one of {', '.join(each.options)}")
        return value
    if value in (True, YES, "true"):
        return True
    if value in (False, NO, "false"):
        return False
    raise InvalidAnswerError(each.name, f"is {YES} or {NO}")


def _correction(each: Dimension, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidAnswerError(each.name, "is a text")
    if len(value) > MAX_CORRECTION:
        raise InvalidAnswerError(each.name, f"has {len(value):,} characters; at most {MAX_CORRECTION:,} fit")
    if "\0" in value:
        raise InvalidAnswerError(each.name, "holds a NUL character, which PostgreSQL keeps in no text")
    return value


def _number(each: Dimension, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InvalidAnswerError(each.name, "is a number") from error
    assert each.low is not None  # `rubric.checked` saw to it
    assert each.high is not None
    if not each.low <= number <= each.high:
        raise InvalidAnswerError(each.name, f"is from {each.low:g} to {each.high:g}")
    if each.choices and not number.is_integer():
        raise InvalidAnswerError(each.name, f"is a whole number from {each.low:g} to {each.high:g}")
    return number
