"""Decisions: estimates of the models on offer by one version, weighed against cost. No LiteLLM."""
