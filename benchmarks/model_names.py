"""How well and how fast model names are parsed: `python benchmarks/model_names.py NAMES.jsonl`.

A line of the file holds a name with what it should give (`expected`) and what passes too (`accept`, by field). Prints
the share of names of which every field is right, by category, and microseconds a name against a bare `str.split`.
"""

import argparse
import json
import timeit
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from collectors.model_names import parse
from collectors.model_names.parser import parse_uncached


def main() -> None:
    """Parse every name of a file and print what is wrong."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", type=Path)
    options.add_argument("--rounds", type=int, default=20)
    given = options.parse_args()
    lines = [json.loads(line) for line in given.names.read_text(encoding="utf-8").splitlines() if line.strip()]
    seen: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for line in lines:
        seen[line["category"]] += 1
        wrong = differences(line)
        right[line["category"]] += not wrong
        for field, (said, wanted) in wrong.items():
            print(f"{line['name'][:80]!r}: {field} is {said!r}, not {wanted!r}")
    for category, count in sorted(seen.items()):
        print(f"{category:12} {right[category]:4} of {count:4}")
    share = sum(right.values()) / max(len(lines), 1)
    print(f"fully right  {sum(right.values()):4} of {len(lines):4}  ({share:.1%})")
    names = [line["name"][:512] for line in lines]
    took = min(timeit.repeat(lambda: [parse_uncached(name) for name in names], number=1, repeat=given.rounds))
    split = min(timeit.repeat(lambda: [name.split("-") for name in names], number=1, repeat=given.rounds))
    print(f"{took / len(names) * 1e6:.1f} us a name, {took / split:.0f} times a str.split")


def differences(line: dict[str, Any]) -> dict[str, tuple[object, object]]:
    """Return the fields that are neither as expected nor as accepted: what was said, and what should be."""
    found = asdict(parse(line["name"]))
    wrong = {}
    for field, wanted in line["expected"].items():
        allowed = [wanted, *line.get("accept", {}).get(field, [])]
        said = list(found[field]) if isinstance(found[field], tuple) else found[field]
        if said not in allowed:
            wrong[field] = (said, wanted)
    return wrong


if __name__ == "__main__":
    main()
