"""For how many days a row is kept: by the most telling of a project's rules, else as the project says.

A rule names a signal and may name an environment. Of a row's signal, the rule of its environment goes before the one
for each environment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# What no environment may be called: it stands for each of them.
ANY = ""


@dataclass(frozen=True, slots=True)
class Retention:
    """A project's rules: signal -> environment -> days; an environment of '' is each."""

    rules: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def longest(self, signal: str, default: int) -> int:
        """Return the days after which nothing of a signal is left; `default` are the project's own."""
        days = self.rules.get(signal)
        return max({ANY: default, **days}.values()) if days else default

    def shortest(self, signal: str, default: int) -> int:
        """Return the days until which all of a signal is left; `default` are the project's own."""
        return min({ANY: default, **self.rules.get(signal, {})}.values())

    def of_rows(self, signal: str, environments: Sequence[str], default: int) -> list[int]:
        """Return the days of each row, given their environments."""
        days = self.rules.get(signal)
        if not days:
            return [default] * len(environments)
        of_each = days.get(ANY, default)
        return [days.get(environment, of_each) for environment in environments]


AS_THE_PROJECT = Retention()
