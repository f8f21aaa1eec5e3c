"""The orchestrator: takes every event, starts the child that it is for, and knows what became."""
