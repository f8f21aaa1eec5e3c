"""The benchmarks, by subject."""

from benchmarks.suite import webhook

BENCHMARKS = (*webhook.BENCHMARKS,)
