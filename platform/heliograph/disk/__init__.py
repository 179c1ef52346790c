"""The room that the store has: how full it is, and what gives way when it fills."""
