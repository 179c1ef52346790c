"""Legal hold: what is stored of some traces stays until an owner lifts it (docs/retention.md, docs/adr/0073)."""
