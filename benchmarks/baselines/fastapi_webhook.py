"""A webhook by hand: FastAPI and uvicorn, the checks that the runner makes, then a start.

python -m benchmarks.baselines.fastapi_webhook PORT TEMPORAL_ADDRESS [--worker]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from temporalio.worker import Worker

from benchmarks.load import PATH, SECRET, SIGNATURE
from benchmarks.workflows import TASK_QUEUE, TakeOrder

_MAX_BODY = 1024 * 1024


def make_app(address: str, *, worker: bool) -> FastAPI:
    """The application; with a worker in the same process where that is asked for."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.client = await Client.connect(address)
        if not worker:
            yield
            return
        async with Worker(app.state.client, task_queue=TASK_QUEUE, workflows=[TakeOrder]):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post(PATH)
    async def take(request: Request) -> JSONResponse:
        body = await _read(request)
        expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get(SIGNATURE, "")):
            raise HTTPException(401, "the signature is wrong")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise HTTPException(415, "the body must be application/json")
        try:
            order = json.loads(body)
        except ValueError:
            raise HTTPException(400, "the body is not JSON") from None
        try:
            handle = await request.app.state.client.start_workflow(
                TakeOrder.run,
                order,
                id=f"order-{order['id']}",
                task_queue=TASK_QUEUE,
                rpc_timeout=timedelta(seconds=10),
            )
        except WorkflowAlreadyStartedError:
            return JSONResponse({"status": "duplicate"})
        except RPCError:
            raise HTTPException(503, "send it again later") from None
        return JSONResponse(
            {
                "status": "accepted",
                "workflow_id": handle.id,
                "run_id": handle.first_execution_run_id,
            },
            status_code=202,
        )

    return app


async def _read(request: Request) -> bytes:
    """The body, bounded in size and time."""
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(10):
            async for chunk in request.stream():
                size += len(chunk)
                if size > _MAX_BODY:
                    raise HTTPException(413, "the body is too large")
                chunks.append(chunk)
    except TimeoutError:
        raise HTTPException(408, "the body did not arrive in time") from None
    return b"".join(chunks)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("address")
    parser.add_argument("--worker", action="store_true")
    options = parser.parse_args()
    uvicorn.run(
        make_app(options.address, worker=options.worker),
        port=options.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
