"""What the SDK's failures mean: which may pass, and which end the runner with a next step."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as botocore  # type: ignore[import-untyped]
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

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
    "PartialCredentialsError": "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither",
    "ConfigParseError": "mend that file, or name another in AWS_CONFIG_FILE",
    "ConfigNotFound": "make that file, or correct AWS_CONFIG_FILE",
    "UnknownServiceError": "correct the listener's options",
}
_CLOCK = {"RequestTimeTooSkewed", "RequestExpired"}
_CLOCK_TEXTS = ("Signature expired", "Signature not yet current")
_REGION = {
    "AuthorizationHeaderMalformed",
    "PermanentRedirect",
    "IllegalLocationConstraintException",
}
_MAY_PASS = {
    "clock": "look at this machine's clock",
    "region": "look whether `region` is where it is",
}


LOOK_AT_ENDPOINT = "look whether endpoint_url is the service's, and what is in between"


class MessageRefused(TransientError):
    """The queue does not take this message, because of its size or of what is in it."""


def no_html(http_response: Any, **_: Any) -> None:
    """For the SDK's event `after-call`: name a page of HTML, also one that came as a success.

    Raises:
        TransientError: It is one.
    """
    media_type = http_response.headers.get("content-type", "")
    if media_type.lower().startswith("text/html"):
        status = http_response.status_code
        raise TransientError(f"the answer is a page of HTML (HTTP {status}); {LOOK_AT_ENDPOINT}")


@contextmanager
def explained(what: str, *, refusal_is_final: bool = True) -> Iterator[None]:
    """Turn the SDK's errors into the runner's.

    Wrong keys and options are permanent. All else, expired credentials, throttling and a queue
    that is not there yet included, may pass.

    Args:
        what: What was called, for the text: "the queue https://…".
        refusal_is_final: Refused keys stay refused: they were never right in this process.

    Raises:
        PermanentError: Trying again cannot help.
        MessageRefused: A queue does not take this message, and never will.
        TransientError: It may.
    """
    try:
        yield
    except TransientError as error:
        raise TransientError(f"{what}: {error}") from error
    except botocore.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        text = f"{what}: {code}: {error.response.get('Error', {}).get('Message', '')}"
        if passing := _may_pass(code, text):
            raise TransientError(f"{text}; {passing}") from error
        if code in _WRONG_KEYS and refusal_is_final:
            raise PermanentError(text, next_step="correct the AWS credentials") from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if error.operation_name == "SendMessage" and (code in _REFUSED_MESSAGE or status == 413):
            raise MessageRefused(text) from error
        raise TransientError(text) from error
    except ResponseParserError as error:
        html = "<html" in str(error).lower() or "<!doctype html" in str(error).lower()
        kind = "a page of HTML" if html else "not what the service gives"
        raise TransientError(f"{what}: the answer is {kind}; {LOOK_AT_ENDPOINT}") from error
    except (botocore.BotoCoreError, botocore.HTTPClientError, OSError, ValueError) as error:
        kind = type(error).__name__
        # The SDK reads the bundle at the first call, and wraps what that raises.
        cause = getattr(error, "kwargs", {}).get("error", error)
        if kind != "SSLError" and isinstance(cause, FileNotFoundError | ssl.SSLError):
            bundle = os.environ.get("AWS_CA_BUNDLE") or "the AWS config's ca_bundle"
            raise PermanentError(
                f"{what}: the certificates of {bundle} cannot be read: {cause}",
                next_step="correct AWS_CA_BUNDLE, or mend that file: certificates in PEM",
            ) from error
        text = f"{what}: {' '.join(str(error).split()) or kind}"
        if kind in _NEXT_STEPS or isinstance(error, ValueError):
            next_step = _NEXT_STEPS.get(kind, "correct the listener's options")
            raise PermanentError(text, next_step=next_step) from error
        raise TransientError(text) from error


def _may_pass(code: str, text: str) -> str:
    """What to look at where a refusal is not the keys' fault; empty where it may be."""
    if code in _CLOCK or any(one in text for one in _CLOCK_TEXTS):
        return _MAY_PASS["clock"]
    if code in _REGION or "scoped to a valid region" in text:
        return _MAY_PASS["region"]
    return ""
