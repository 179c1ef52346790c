"""The store's upkeep: how full it is and what gives way when it fills, old weeks, and what merges leave undone."""
