"""Beyond the paper: estimates shrunk to what is known, used only where they proved themselves.

`request` (a prompt inside the benchmark's tasks), `unseen` (a new task without labels),
`few_labels` (a new task with some), `calibration`, and `policy` (quality against cost).
`guarded` puts them together. docs/guarded.md has the formulas.
"""
