"""What happened in a project that other services want to hear of, kept until it was passed on.

`from heliograph.events.outbox import record`: it writes a row in the caller's transaction, so the event exists if, and
only if, what it tells of does. The alerts read the rows and send them to the channels that ask for their kind.
"""
