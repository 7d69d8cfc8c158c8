"""The guarded method: estimates drawn to what is measured, used only where they proved themselves.

`formulas` is what is served, in the order of docs/guarded.md; `fit` and `file` fit, write and read
it; `impute` predicts missing labels; `left_out` and `unseen` choose how new tasks are scored, and
`few_labels` (with `covariance`) takes labels of a task in. Imports `paper` and `errors` alone.
"""
