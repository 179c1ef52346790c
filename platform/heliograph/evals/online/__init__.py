"""Judging new spans as they come: rules, each with its marks, its budget and its set-aside spans.

    worker.judge_new_spans -> passes.RulePass -> marks (what is next) -> query.online (its spans)
                                             -> judging.Judging (the evaluator) -> query.scores (its verdicts)
docs/online-evaluation.md and ADR 0036 say why it is exact.
"""
