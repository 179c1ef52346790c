"""One file a judge: each a factory that takes settings and returns a scorer (evaluators/score.py)."""
