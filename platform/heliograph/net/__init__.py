"""Requests that somebody of a project has us send: to an alert's webhook, to a judge's model, to a function of theirs.

`outgoing.send` goes to addresses that may be gone to, within bounds of time and size, and follows nothing.
"""
