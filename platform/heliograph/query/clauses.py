"""Pieces of a condition in SQL with the values that it binds, and how they are joined."""

from collections.abc import Iterable

# A set of alternatives is chosen by a person from a list.
MAX_VALUES = 100
MAX_VALUE_CHARACTERS = 1_000

Parameters = dict[str, object]
Clause = tuple[str, Parameters]


class InvalidFilterError(ValueError):
    """A question that may not be asked; `field` names the part at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def all_of(*clauses: Clause | None) -> Clause:
    """Return one clause that holds where every given one does."""
    given = [clause for clause in clauses if clause is not None]
    parameters: Parameters = {}
    for _, part in given:
        parameters.update(part)
    return " AND ".join(f"({sql})" for sql, _ in given) or "1", parameters


def one_of(clauses: Iterable[Clause | None]) -> Clause | None:
    """Return one clause that holds where one or more of the given do; None for none."""
    given = [clause for clause in clauses if clause is not None]
    parameters: Parameters = {}
    for _, part in given:
        parameters |= part
    return (" OR ".join(f"({sql})" for sql, _ in given), parameters) if given else None


def put(sql: str, **parts: str) -> str:
    """Put clauses made in this package into an SQL constant at `{name}`; values never go this way."""
    for name, part in parts.items():
        sql = sql.replace("{" + name + "}", part)
    return sql


def check_values(field: str, values: tuple[str, ...]) -> None:
    """Raise InvalidFilterError for more or longer values than a person picks."""
    if len(values) > MAX_VALUES:
        raise InvalidFilterError(field, f"may be given at most {MAX_VALUES} times")
    if any(len(value) > MAX_VALUE_CHARACTERS for value in values):
        raise InvalidFilterError(field, f"may have at most {MAX_VALUE_CHARACTERS} characters")
