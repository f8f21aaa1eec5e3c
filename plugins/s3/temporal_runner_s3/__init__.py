"""The S3 event source of temporal-runner."""
