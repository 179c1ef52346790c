"""How far annotators agree beyond what chance would give.

- `krippendorff.alpha(values, level)`: any number of annotators, with gaps
- `cohen.kappa(first, second, categories)`: two annotators who judged the same items
"""
