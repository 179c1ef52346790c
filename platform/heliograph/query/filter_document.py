"""docs/filters.md, written from the table of fields: `python -m heliograph.query.filter_document > docs/filters.md`."""

from collections.abc import Iterator

from heliograph.query.fields import FIELDS, PRESENCE

_HEAD = """# The filter language

One text says which traces or spans are meant: in the box of the page Traces, in `filter=` of `/api/v1/traces` and
`/api/v1/spans`, and in every rule that chooses spans.

    model:gpt-4o latency>2s score.groundedness<0.5 -status:error "refund"

| you write | it means |
| --- | --- |
| `model:gpt-4o status:error` | Both hold, on the same span. |
| `model:a,b` or `model:a model:b` | Either value. |
| `-status:error`, `status!=error` | Not so. Together with its negation a condition picks every span once. |
| `model:gpt-4*` | `*` stands for any text. In quotes it is a letter, and so it is after a backslash. |
| `latency>2s`, `ttft<=350ms` | Times have a unit: `ns us ms s m h d`. |
| `tokens>8k`, `cost>$0.05` | Counts may end in `k` or `M`; money is in USD. |
| `user:""` | The span names none. |
| `attributes.region:eu`, `resource.pod:web-*`, `attributes.top_p>0.5` | An attribute as it came, also as a number. |
| `request.temperature>0.5`, `response.service_tier:flex` | What a call asked for, and what the server said of itself. |
| `score.groundedness<0.5`, `score.toxicity:high` | The trace has such a score, or one with that label. |
| `has:session`, `-has:score`, `has:score.groundedness` | Something is there. |
| `refund`, `"late delivery"` | These words stand, as words and in any order, in the input or in the output. |

A list of traces shows those with a matching span. A condition on `latency` alone, and negations alone, speak of the
request as a whole: they look at the spans where a trace enters. `-model:gpt-4o kind:llm` finds traces with a model call
of another model.

A cell of the overview's heat map of latency leads to such a list: `-has:parent latency>=2s latency<3s` and the cell's
time. The cell's count is read off the rollup's t-digest of its column (a minute to a week), which merges neighbouring
durations where there are more than 200: columns add up, but of thousands of requests about one of a hundred may be
counted a cell higher or lower. Such counts are marked `~`; the list itself is exact. What tail sampling or an erasure
removed later is counted, but not listed.

A mistake is answered with its place and what to do: `at character 1: there is no field modle; did you mean model?`

## Fields
"""


def lines() -> Iterator[str]:
    """Yield the document's lines."""
    yield from _HEAD.splitlines()
    yield "| field | example | what it is |"
    yield "| --- | --- | --- |"
    for field in FIELDS:
        names = ", ".join(f"`{name}`" for name in (field.name, *field.aliases))
        choices = f" One of {', '.join(field.choices)}." if field.choices else ""
        yield f"| {names} | `{field.example}` | {field.help}{choices} |"
    yield ""
    yield f"`has:` knows {', '.join(f'`{name}`' for name in PRESENCE)}, `score` and `score.NAME`."


if __name__ == "__main__":
    print("\n".join(lines()))  # noqa: T201  # the document
