"""What attributes mean: one table, canonical field <- source keys, a file a dialect.

`table` compiles the dialects to one index, `meaning` reads a span through it.
"""
