"""A blob's place by its subject and its URL, and messages as senders write them."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from temporal_runner_azure.client import Queue
from temporal_runner_azure.events import blob_address
from temporal_runner_azure.messages import decode
from tests.azure.support import Storage

SUBJECT = "/blobServices/default/containers/c/blobs/{}"
TOPIC = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acc"


@pytest.mark.parametrize("name", ["a#b", "a?b", "a%20b", "a b", "/a", "x/y", "100%", "a\nb"])
@pytest.mark.parametrize(
    "base",
    [
        "https://acc.blob.core.windows.net",
        "https://acc.dfs.core.windows.net",
        "https://files.example.com",
        "http://127.0.0.1:10000/acc",
        "http://azurite:10000/acc",
    ],
)
def test_a_subject_has_the_names_as_they_are(base: str, name: str) -> None:
    """Whether the URL is encoded or not."""
    address = blob_address(f"{base}/c/{name}", SUBJECT.format(name), TOPIC)
    assert (address.account, address.container, address.blob) == ("acc", "c", name)
    assert address.container_url == f"{base.replace('.dfs.', '.blob.')}/c"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://acc.blob.core.windows.net/c/a#b?c", ("acc", "c", "a#b?c")),
        ("https://acc.blob.core.windows.net/c/a%23b", ("acc", "c", "a#b")),
        ("https://my-acc.blob.local.azurestack.external/c/b", ("my-acc", "c", "b")),
        ("https://acc-secondary.blob.core.windows.net/c/b", ("acc", "c", "b")),
        ("https://files.example.com/c/x/y", ("acc", "c", "x/y")),
        ("https://files.example.com/b", ("acc", "$root", "b")),
        ("http://localhost:10000/devstoreaccount1/c/b", ("devstoreaccount1", "c", "b")),
        ("http://[::1]:10000/devstoreaccount1/c/b", ("devstoreaccount1", "c", "b")),
        ("https://acc.blob.core.windows.net/$logs/x", ("acc", "$logs", "x")),
    ],
)
def test_without_a_subject_the_url_tells(url: str, expected: tuple[str, str, str]) -> None:
    """The emulator's form only where it is the emulator."""
    address = blob_address(url, None, TOPIC)
    assert (address.account, address.container, address.blob) == expected


@pytest.mark.parametrize("url", ["", "x", "https://", "https://acc.blob.core.windows.net/", "/c/b"])
def test_what_is_no_url_of_a_blob_is_refused(url: str) -> None:
    """With the URL named."""
    with pytest.raises(ValueError, match="not the URL of a blob"):
        blob_address(url, None, TOPIC)


@pytest.mark.parametrize("around", ["{}", "\ufeff{}", " \r\n{}\r\n", "\ufeff {} "])
@pytest.mark.parametrize("in_lines", [True, False])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_base64_as_its_encoders_write_it(around: str, in_lines: bool, bom: str) -> None:
    """In lines of 76 columns, with a BOM inside or outside, with blanks around."""
    content = {"long": "x" * 300}
    raw = (bom + json.dumps(content)).encode()
    text = (base64.encodebytes(raw) if in_lines else base64.b64encode(raw)).decode()
    for encoding in ("auto", "base64"):
        assert decode(around.replace("{}", text), encoding) == [content]


@pytest.mark.parametrize("name", ["$logs", "$blobchangefeed", "$root", "$web"])
def test_the_services_own_containers_can_be_listed(storage: Storage, name: str) -> None:
    """They break the rule for names."""
    assert storage.list_options(container=name).container == name


async def test_letters_at_once_make_one_queue(storage: Storage) -> None:
    """The dead letter queue is missing: whoever comes second finds it made."""
    queue = Queue(storage.queue_options(), f"{storage.queue_name}-poison")
    await asyncio.gather(*(queue.send(str(number)) for number in range(8)))
    await queue.close()
    assert len(storage.poisoned_texts()) == 8
