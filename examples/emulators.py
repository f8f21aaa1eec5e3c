"""Stand-ins for S3, SQS and Azure Storage on this machine, for `configs/dev.yaml`.

    python examples/emulators.py start                  at their usual ports, until Ctrl-C
    python examples/emulators.py put FILE [--azure]     put a document in, as an application would
    python examples/emulators.py environment            the variables that lead to them

What they hold is in memory. S3 and SQS are moto's, which `make setup` installs. Azure's is
Azurite; it comes from npm and needs Node.js, and is left out where there is none.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true",
}
NAME = "uploads"
"""Of the bucket, of its queue, of the container and of its queue."""
_ROOT = Path(__file__).parent.parent
_BIN = Path(sys.executable).parent
_AZURITE = _ROOT / ".tools" / "azurite" / "3.35.0"
_AZURITE_MAIN = _AZURITE / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"


def start() -> None:
    """Run the emulators until a signal comes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    emulators = []
    try:
        emulators.append(_run("S3 and SQS", 5000, [_BIN / "moto_server", "-H", "127.0.0.1"]))
        _make_bucket()
        node = _program("node")
        if node and _fetch_azurite():
            command = [node, _AZURITE_MAIN, "--silent", "--inMemoryPersistence"]
            more = ["--disableTelemetry", "--skipApiVersionCheck"]
            emulators.append(_run("Azure Storage", 10001, [*command, *more]))
            _make_container()
        else:
            print("Azure Storage is left out: there is no Node.js")
        print("Ctrl-C ends them.", flush=True)
        emulators[0].wait()
    except KeyboardInterrupt:
        print()
    finally:
        for emulator in emulators:
            emulator.kill()
            emulator.wait()


def put(file: Path, *, azure: bool) -> None:
    """Put a document into the bucket, or into the container with Event Grid's message of it."""
    key = f"in/{file.name}"
    if not azure:
        _aws("s3").put_object(Bucket=NAME, Key=key, Body=file.read_bytes())
        print(f"s3://{NAME}/{key}")
        return
    blobs, queues = _azure()
    with blobs, queues, blobs.get_blob_client(NAME, key) as blob:
        written = blob.upload_blob(file.read_bytes(), overwrite=True)
        event = {
            "id": str(uuid.uuid4()),
            "topic": "/subscriptions/none",
            "subject": f"/blobServices/default/containers/{NAME}/blobs/{key}",
            "eventType": "Microsoft.Storage.BlobCreated",
            "eventTime": datetime.now(UTC).isoformat(),
            "data": {"api": "PutBlob", "eTag": written["etag"], "url": blob.url},
        }
        message = base64.b64encode(json.dumps(event).encode()).decode()
        queues.get_queue_client(NAME).send_message(message)
    print(f"az://{NAME}/{key}")


def _run(what: str, port: int, command: list[Any]) -> subprocess.Popen[bytes]:
    if _is_open(port):
        sys.exit(f"something listens at port {port} already: end it, or use it")
    # In a session of its own: at Ctrl-C it is this process that ends it.
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not _is_open(port):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            sys.exit(f"the emulator of {what} does not start: {command[0]}")
        time.sleep(0.05)
    print(f"{what}: 127.0.0.1:{port}", flush=True)
    return process


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=str(_BIN))


def _fetch_azurite() -> bool:
    npm = _program("npm")
    if not _AZURITE_MAIN.exists() and npm:
        print("Fetching Azurite: once, about half a minute.", flush=True)
        command = [npm, "install", "--prefix", str(_AZURITE), f"azurite@{_AZURITE.name}"]
        how = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run([*command, *how], check=False, stdout=subprocess.DEVNULL, timeout=300)
    return _AZURITE_MAIN.exists()


def _make_bucket() -> None:
    s3, sqs = _aws("s3"), _aws("sqs")
    region = ENVIRONMENT["AWS_DEFAULT_REGION"]
    s3.create_bucket(Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": region})
    queue = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    where = {"QueueArn": told["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=NAME, NotificationConfiguration={"QueueConfigurations": [where]}
    )


def _make_container() -> None:
    blobs, queues = _azure()
    with blobs, queues:
        blobs.create_container(NAME)
        queues.create_queue(NAME)


def _aws(service: str) -> Any:
    import boto3  # type: ignore[import-untyped]

    return boto3.client(
        service,
        endpoint_url=ENVIRONMENT["AWS_ENDPOINT_URL"],
        region_name=ENVIRONMENT["AWS_DEFAULT_REGION"],
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )


def _azure() -> tuple[Any, Any]:
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

    where = ENVIRONMENT["AZURE_STORAGE_CONNECTION_STRING"]
    return (
        BlobServiceClient.from_connection_string(where),
        QueueServiceClient.from_connection_string(where),
    )


def _environment(set_already: Mapping[str, str]) -> str:
    """The variables as `env` takes them, less those that are set."""
    missing = (name for name in ENVIRONMENT if not set_already.get(name))
    return "\n".join(f"{name}={ENVIRONMENT[name]}" for name in missing)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start")
    commands.add_parser("environment")
    putting = commands.add_parser("put")
    putting.add_argument("file", type=Path)
    putting.add_argument("--azure", action="store_true")
    chosen = parser.parse_args()
    if chosen.command == "start":
        start()
    elif chosen.command == "put":
        put(chosen.file, azure=chosen.azure)
    else:
        print(_environment(os.environ))


if __name__ == "__main__":
    main()
