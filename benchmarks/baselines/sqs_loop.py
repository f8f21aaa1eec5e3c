"""An SQS consumer by hand: receive 10, start a workflow for each, delete each.

python -m benchmarks.baselines.sqs_loop QUEUE_URL TEMPORAL_ADDRESS
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from urllib.parse import unquote_plus

import boto3  # type: ignore[import-untyped]
import uvloop
from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError

from benchmarks.workflows import TASK_QUEUE


async def consume(queue_url: str, address: str) -> None:
    """Consume until ended."""
    client = await Client.connect(address)
    endpoint = queue_url.rpartition("/")[0].rpartition("/")[0]
    sqs = boto3.client("sqs", region_name="eu-west-1", endpoint_url=endpoint)
    while True:
        answer = await asyncio.to_thread(
            sqs.receive_message, QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20
        )
        for message in answer.get("Messages", []):
            for record in json.loads(message["Body"])["Records"]:
                stored = record["s3"]["object"]
                key = unquote_plus(stored["key"])
                with contextlib.suppress(WorkflowAlreadyStartedError):
                    await client.start_workflow(
                        "TakeUpload",
                        {**record["s3"], "key": key},
                        id=f"upload-{key}-{stored['sequencer']}",
                        task_queue=TASK_QUEUE,
                    )
            await asyncio.to_thread(
                sqs.delete_message, QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"]
            )


if __name__ == "__main__":
    uvloop.run(consume(*sys.argv[1:]))
