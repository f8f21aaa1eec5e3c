"""The benchmarks, by subject."""

from benchmarks.suite import engine, queues, recovery, startup, webhook

BENCHMARKS = (
    *webhook.BENCHMARKS,
    *engine.BENCHMARKS,
    *queues.BENCHMARKS,
    *startup.BENCHMARKS,
    *recovery.BENCHMARKS,
)
