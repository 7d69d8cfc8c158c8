"""The paper's experiments on the user's own benchmark.

`prepared` holds what every protocol shares; each protocol is one file (`task`, `mlp`, `labels`,
`distance`, `request`, `cost`) and returns one document; `report` shows documents.
"""
