"""What hardware could do with a model: memory, ceilings and use, as arithmetic on stated facts.

Pure functions, and two small tables with their sources. Sizes are bytes, rates a second, shares from 0 to 1. What a
result needs and nobody states is an `Unknown` with the reason, never a guess; a result that hardware cannot reach is a
`DataError`, since then one of its inputs is wrong.
"""
