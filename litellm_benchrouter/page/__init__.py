"""`benchrouter serve`: one page for the operator, over one artifact directory.

It reads what is there and changes nothing. A prompt is answered and forgotten: none is in an
address, a log or a file.
"""
