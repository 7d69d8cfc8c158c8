"""The paper's experiments on the user's own benchmark: one protocol a module, one document each.

`run` chooses protocols and models; what a protocol shares with the proof is in `validation`;
`views` shows the documents.
"""
