"""Erasing what is stored of one user of a project's services, with a receipt (docs/erasure.md)."""
