"""A blob's event, the same whichever way it came: its place is read from its URL, once.

Both schemas and both modes name the same blob, and the same version of it, in the same words.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from temporal_runner.plugin import Event

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
_LONGEST_NAME_IN_ID = 200
_STORAGE_HOST = re.compile(
    # The account, a DNS zone, a private link, then the service: also in sovereign clouds.
    r"(?P<account>[a-z0-9-]+?)(?:-secondary)?(?P<zone>\.z\d+)?(?:\.privatelink)?"
    r"\.(?:blob|dfs)\.(?P<suffix>[a-z0-9.-]+)"
)


class Undecodable(Exception):
    """A message, or one event of it, that no later delivery will make readable."""


@dataclass(frozen=True, slots=True)
class BlobAddress:
    """Where a blob is.

    Attributes:
        account: The storage account's name.
        container: The container; `$root` where the URL names none.
        blob: The blob's name, decoded.
        container_url: The container's URL at the blob endpoint: the event's `source`.
    """

    account: str
    container: str
    blob: str
    container_url: str


_SUBJECT = re.compile(
    r"/blobServices/[^/]+/containers/(?P<container>[^/]+)/blobs/(?P<blob>.+)", re.S
)
_URL = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#]+)/+(?P<path>.*)", re.S | re.I)


def blob_address(url: str, subject: str | None = None, topic: str = "") -> BlobAddress:
    """A blob's place: its names as the subject has them, else by its URL.

    Args:
        url: Of the blob or the dfs endpoint, of any cloud, a custom domain, or the emulator's.
        subject: Event Grid's, which has the names as they are.
        topic: Event Grid's, whose end is the account.

    Raises:
        ValueError: It is not the URL of a blob.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"not the URL of a blob: {url}")
    scheme, host, path = match["scheme"].lower(), match["host"].lower(), match["path"]
    if at := _STORAGE_HOST.fullmatch(host.removesuffix(":443")):
        account = at["account"]
        base = f"{scheme}://{account}{at['zone'] or ''}.blob.{at['suffix']}"
    elif _is_emulator(host):
        # And whatever speaks as it does: the account is the path's first part.
        account, _, path = path.partition("/")
        base = f"{scheme}://{host}/{account}"
    else:
        account, base = topic.rpartition("/storageAccounts/")[2], f"{scheme}://{host}"
    if named := _SUBJECT.fullmatch(subject or ""):
        container, blob = named["container"], named["blob"]
    else:
        # Only the first slash that is not encoded parts the container from the name.
        container, slash, blob = path.partition("/")
        if not slash:
            container, blob = "$root", container
        container, blob = unquote(container, errors="strict"), unquote(blob, errors="strict")
    if not (container and blob):
        raise ValueError(f"not the URL of a blob: {url}")
    return BlobAddress(account, container, blob, f"{base}/{container}")


def _is_emulator(host: str) -> bool:
    """By an address, or by a name that no domain on the internet has."""
    name = host if host.startswith("[") else host.partition(":")[0]
    return (
        name.startswith("[")
        or "." not in name
        or name.endswith((".localhost", ".local", ".internal"))
        or re.fullmatch(r"[\d.]+", name) is not None
    )


def blob_event_id(blob: str, etag: str) -> str:
    """The identity of one version of a blob: what makes two deliveries the same event."""
    if len(blob) > _LONGEST_NAME_IN_ID:
        digest = hashlib.sha256(blob.encode()).hexdigest()[:32]
        blob = f"{digest}…{blob[-100:]}"
    return f"{blob}@{plain_etag(etag)}"


def plain_etag(etag: str) -> str:
    """An etag without its quotes: services give it either way."""
    return etag.removeprefix("W/").strip('"')


_FIRST_STEPS = ("CreateFile", "SftpCreate")
"""What begins an upload of two steps; FlushWithClose or SftpCommit ends it."""


def is_created_file(event: Event) -> bool:
    """Whether it is Data Lake's, or SFTP's, creation of a file that is still empty."""
    return (
        event.type == BLOB_CREATED
        and isinstance(event.data, Mapping)
        and event.data.get("api") in _FIRST_STEPS
    )


def about_blob(event: Event) -> Event:
    """The same event with the blob in `source`, `subject` and `data`, its version in the `id`."""
    data = event.data
    url = data.get("url") if isinstance(data, Mapping) else None
    if not isinstance(url, str):
        return event  # a rename, a tier change of many, a policy: they speak for themselves
    try:
        address = blob_address(url, event.subject, event.source)
    except ValueError as error:
        raise Undecodable(str(error)) from None
    etag = data.get("eTag")
    of_version = event.type == BLOB_CREATED and isinstance(etag, str) and plain_etag(etag)
    return Event(
        id=blob_event_id(address.blob, etag) if of_version else event.id,
        source=address.container_url,
        type=event.type,
        subject=address.blob,
        time=event.time,
        datacontenttype=event.datacontenttype,
        data={**data, **blob_data(address)},
        extensions={
            **event.extensions,
            "eventgridid": event.id,
            "eventgridtopic": event.source,
            **({"eventgridsubject": event.subject} if event.subject else {}),
        },
    )


def blob_data(address: BlobAddress) -> dict[str, str]:
    """What `data` says of a blob's place, beside what Event Grid says."""
    return {"account": address.account, "container": address.container, "blob": address.blob}
