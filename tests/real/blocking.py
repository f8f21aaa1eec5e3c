"""An activity that blocks the event loop, and plugins of the SDK with converters."""

from __future__ import annotations

import dataclasses
import time
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import ClientConfig
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    PayloadCodec,
)
from temporalio.plugin import SimplePlugin


@activity.defn
async def block(seconds: float) -> None:
    """Waits without awaiting."""
    time.sleep(seconds)  # noqa: ASYNC251 - the mistake that is tested


@workflow.defn
class Blocked:
    """Runs it."""

    @workflow.run
    async def run(self, seconds: float) -> None:
        """Does it."""
        await workflow.execute_activity(
            block, seconds, start_to_close_timeout=timedelta(seconds=60)
        )


class OwnConverter(CompositePayloadConverter):
    """Of a plugin."""

    def __init__(self) -> None:
        super().__init__(*DefaultPayloadConverter().converters.values())


class Particular(SimplePlugin):
    """Accepts no converter but its own, as some of the SDK's do."""

    def __init__(self) -> None:
        super().__init__("tests.particular")

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """Put the converter in."""
        if config["data_converter"] is not DataConverter.default:
            raise ValueError("set no data_converter beside this plugin")
        config["data_converter"] = DataConverter(payload_converter_class=OwnConverter)
        return config


class NoCodec(PayloadCodec):
    """Changes nothing."""

    async def encode(self, payloads: Any) -> Any:
        """As they are."""
        return list(payloads)

    async def decode(self, payloads: Any) -> Any:
        """As they are."""
        return list(payloads)


class Encoding(SimplePlugin):
    """Puts a codec into the converter that is there."""

    def __init__(self) -> None:
        super().__init__("tests.encoding")

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """Put the codec in."""
        before = config["data_converter"]
        config["data_converter"] = dataclasses.replace(before, payload_codec=NoCodec())
        return config


def make_converter() -> DataConverter:
    """What a user chose."""
    return dataclasses.replace(pydantic_data_converter, payload_codec=NoCodec())
