"""Codecs, converters and interceptors that fail at some events, for a while or for ever.

Those fail whose content has the word "trouble" in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import Interceptor, OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    PayloadCodec,
)


class UnexpectedError(Exception):
    """What nobody expects."""


@dataclass
class Trouble:
    """What a test says and sees.

    Attributes:
        lasts: Whether those with trouble fail.
        error: What they raise.
        hangs: They do not fail but hang.
        failures: How often each failed, by what was in it.
    """

    lasts: bool = True
    error: BaseException = field(default_factory=lambda: UnexpectedError("trouble"))
    hangs: bool = False
    failures: int = 0

    def reset(self) -> None:
        self.lasts, self.hangs, self.failures = True, False, 0
        self.error = UnexpectedError("trouble")

    def happen(self, content: object) -> bool:
        """Raise, if this is in trouble; whether it hangs."""
        if not self.lasts or "trouble" not in repr(content):
            return False
        self.failures += 1
        if self.hangs:
            return True
        raise self.error


trouble = Trouble()


class Codec(PayloadCodec):
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        if trouble.happen([payload.data for payload in payloads]):
            await asyncio.Event().wait()
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)


class Converter(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(*DefaultPayloadConverter().converters.values())

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        trouble.happen(values)
        return super().to_payloads(values)


class Watching(Interceptor):
    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        class Outbound(OutboundInterceptor):
            async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
                if trouble.happen((input.id, input.args)):
                    await asyncio.Event().wait()
                return await super().start_workflow(input)

        return Outbound(next)


def with_codec() -> DataConverter:
    """The usual converter with a codec."""
    return replace(pydantic_data_converter, payload_codec=Codec())


def with_converter() -> DataConverter:
    """A converter of the user's own."""
    return replace(DataConverter.default, payload_converter_class=Converter)


KINDS: dict[str, str] = {
    "codec": ", data_converter: tests.real.failing:with_codec",
    "converter": ", data_converter: tests.real.failing:with_converter",
    "interceptor": ", interceptors: [tests.real.failing:Watching]",
}
"""Options of a connection."""
