"""What the hook asks of LiteLLM and of the proxy around it."""
