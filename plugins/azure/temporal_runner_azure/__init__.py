"""The Azure Blob event source of temporal-runner."""
