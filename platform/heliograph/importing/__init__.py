"""Exports of other systems as OTLP: a reader of files, one converter a system, a sender that can be started again.

A converter makes `Span` and `Score` from records and reports what it cannot use. Attributes keep the keys under which
the system's own SDK sends them over OTLP, so that the server's conventions map an import as they map live traffic.
"""
