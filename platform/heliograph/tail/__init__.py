"""Sampling of traces that are complete: decided as wholes, removed from `spans`, counted on in the sums."""
