"""Data sets and experiments: versioned rows, what a system answers to them, and what evaluators say of the answers.

- `content`, `versions`, `splits`: rows and the versions that they make up
- `tables`, `columns`, `imports`, `exports`, `from_traces`: where rows come from, and where they go
- `experiments`, `calls`, `slices`: running a version against an endpoint or a user's own function
- `scoring`, `comparing`: the only modules that judge and compute; a worker alone imports them
- `results`: outcomes, side by side
"""
