"""Workflows and activities for the tests of workers in processes of their own."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta

from temporalio import activity, workflow


@workflow.defn
class Where:
    """Tells which process its activity ran in; an attempt that is lost is made again."""

    @workflow.run
    async def run(self, seconds: float) -> int:
        return await workflow.execute_activity(
            where, seconds, start_to_close_timeout=timedelta(seconds=seconds + 3)
        )


@activity.defn
def where(seconds: float) -> int:
    """Takes its time, prints, and reads what there is to read."""
    print(f"{activity.info().workflow_id} in {os.getpid()}", flush=True)
    assert sys.stdin.read() == ""
    time.sleep(seconds)
    return os.getpid()
