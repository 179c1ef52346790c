"""Reads of the store: a question is an SQL constant, a function and a frozen row.

| module | questions |
| --- | --- |
| `filters` | `TimeRange`, `SpanFilter`, `RollupFilter`, `InvalidFilterError`: what a question may be narrowed by |
| `language` | `parse`, `format`: a filter as text; `fields` is the table of what it may name, `terms` its grammar |
| `paging` | `Page`: items and the opaque cursor of the next page |
| `traces` | `list_traces`, `get_trace`: the list and the waterfall |
| `subjects`, `conversations` | sessions and users with their sums; a session as it was held |
| `prompts` | versions of prompts side by side, and what they say |
| `spans` | `list_spans`, `get_span`: narrow rows and one whole span |
| `overview` | `summary`, `series`, `breakdown`: requests, errors, latency, TTFT, tokens, cost |
| `facets` | `facets`: values and counts for the filter panel |
| `scores` | `of_trace`, `series`, `by_group`, `distribution`, `worst`, `names`, `list_scores`, `write_scores` |
| `reliability` | `reliability`, `calibration_error`: scores beside what people said |
| `metrics` | `query_metric`, `names`: OTLP metrics as series |
| `gpu` | `of_trace`: the GPUs that served a trace, during its time |
| `placement` | `of_span`, `of_trace`: engine, process and GPUs of model calls, by the rules in `placing` |
| `attribution` | `by_dimension`, `of_span`: GPU-seconds, joules and USD; `attribution_windows` works them out |
| `timing`, `verdicts` | `split`, `judge`: where a call's time went and why it was slow; they read nothing |
| `serving` | `instances`, `canonical`: engines that serve models, by one set of metrics |
| `evaluation` | `spans_to_evaluate`, `texts`, `paired_scores`: what the evaluators read |
| `rows_of_traces` | `with_minutes`, `texts`, `blobs` and conditions: all that the store has of some traces |
| `held_rows` | `HELD_DAYS`, `held_traces_and_sessions`: what is under legal hold, by its rows |
| `messages` | `parse_messages`, `parse_documents`, `text_of`: the stored JSON of a conversation |

Every function takes the project's id first. Times are nanoseconds since the epoch in fields that end in `_ns`; money is
USD as Decimal; a missing number is None. `InvalidFilterError` (a ValueError that names the field) is raised
for a question that may not be asked; the store's own errors pass through from `heliograph.clickhouse.client`.
"""
