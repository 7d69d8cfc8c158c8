"""One decision: what is expected of the models on offer, weighed against what they cost."""
