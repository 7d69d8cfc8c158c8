"""The router inside a running proxy: beside its requests, in time, and seen. No LiteLLM in here."""
