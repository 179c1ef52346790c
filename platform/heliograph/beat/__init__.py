"""Beat, of which several may run: one is elected and says when, the others wait for its end (docs/adr/0072)."""
