"""What the SDK's failures mean: which may pass, and which end the runner with a next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from temporal_runner.plugin import PermanentError, TransientError


class MessageGone(Exception):
    """The message is deleted, or has been handed to somebody else since."""


class MessageTooLarge(Exception):
    """The text is longer than a queue message may be (64 KiB)."""


@contextmanager
def explained(what: str, *, refusal_is_final: bool = False) -> Iterator[None]:
    """Turn the SDK's errors into the runner's.

    Args:
        what: What was called, for the text: "the queue uploads".
        refusal_is_final: A refused sign-in stays refused: the config's own secret was wrong.

    Raises:
        PermanentError: Trying again cannot help.
        TransientError: It may.
        MessageGone: The message is not ours any more.
        MessageTooLarge: The text is too long for a message.
    """
    try:
        yield
    except HttpResponseError as error:
        raise _of_answer(what, error, refusal_is_final) from error
    except AzureError as error:
        raise TransientError(f"{what}: {_line(error)}") from error


def _of_answer(what: str, error: HttpResponseError, refusal_is_final: bool) -> Exception:
    code = getattr(error, "error_code", None)
    text = f"{what}: {_line(error)}"
    match getattr(code, "value", code):  # an enumeration's member where the SDK knows it
        case "MessageNotFound" | "PopReceiptMismatch":
            return MessageGone(text)
        case "RequestBodyTooLarge" | "MessageTooLarge":
            return MessageTooLarge(text)
        case "QueueNotFound" | "ContainerNotFound":
            return TransientError(f"{text} Create it, or correct its name in the config.")
    if error.status_code == 413:
        return MessageTooLarge(text)
    refused = isinstance(error, ClientAuthenticationError) or error.status_code in (401, 403)
    if refusal_is_final and refused:
        return PermanentError(
            f"Azure refuses the sign-in: {text}",
            next_step="look whether the key or the signature is the account's and still valid, and "
            "whether the account's firewall lets this machine in",
        )
    # Entra ID's refusals may pass: a role is effective only minutes after it is assigned.
    after = getattr(error.response, "headers", {}).get("Retry-After", "")
    return TransientError(text, retry_after=float(after) if after.isdecimal() else None)


def _line(error: AzureError) -> str:
    """What happened, as a line.

    Of a service's answer only the first one: what follows is request IDs, and in some cases the
    string to sign.
    """
    lines = (error.message or type(error).__name__).strip().splitlines()
    answered = getattr(error, "response", None) is not None
    return lines[0] if answered else " ".join(line.strip() for line in lines)
