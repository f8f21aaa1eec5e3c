"""The benchmarks, by subject."""

from benchmarks.suite import engine, queues, startup, webhook

BENCHMARKS = (
    *webhook.BENCHMARKS,
    *engine.BENCHMARKS,
    *queues.BENCHMARKS,
    *startup.BENCHMARKS,
)
