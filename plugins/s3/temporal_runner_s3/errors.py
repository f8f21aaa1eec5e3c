"""What the SDK's failures mean: which may pass, and which end the runner with a next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as botocore  # type: ignore[import-untyped]

from temporal_runner.plugin import PermanentError, TransientError

_WRONG_KEYS = {
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_REFUSED_MESSAGE = {
    "InvalidParameterValue",
    "InvalidParameterValueException",
    "InvalidMessageContents",
    "BatchRequestTooLong",
    "AWS.SimpleQueueService.BatchRequestTooLong",
    "RequestEntityTooLarge",
}
_NEXT_STEPS = {
    "NoRegionError": "give `region`, or set AWS_DEFAULT_REGION",
    "ProfileNotFound": "give a `profile` of the shared AWS config files",
    "ParamValidationError": "correct the listener's options",
}


class MessageRefused(TransientError):
    """The queue does not take this message, because of its size or of what is in it."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the SDK's errors into the runner's.

    Wrong keys and options are permanent. All else, expired credentials, throttling and a queue
    that is not there yet included, may pass.

    Args:
        what: What was called, for the text: "the queue https://…".

    Raises:
        PermanentError: Trying again cannot help.
        MessageRefused: A queue does not take this message, and never will.
        TransientError: It may.
    """
    try:
        yield
    except botocore.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        text = f"{what}: {code}: {error.response.get('Error', {}).get('Message', '')}"
        if code in _WRONG_KEYS:
            raise PermanentError(text, next_step="correct the AWS credentials") from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if error.operation_name == "SendMessage" and (code in _REFUSED_MESSAGE or status == 413):
            raise MessageRefused(text) from error
        raise TransientError(text) from error
    except (botocore.BotoCoreError, botocore.HTTPClientError, OSError, ValueError) as error:
        kind = type(error).__name__
        text = f"{what}: {' '.join(str(error).split()) or kind}"
        if kind in _NEXT_STEPS or isinstance(error, ValueError):
            next_step = _NEXT_STEPS.get(kind, "correct the listener's options")
            raise PermanentError(text, next_step=next_step) from error
        raise TransientError(text) from error
