"""The webhook event source of temporal-runner."""
