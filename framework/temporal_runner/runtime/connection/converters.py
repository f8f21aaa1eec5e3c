"""The default data converter, where neither the config nor a plugin of the SDK's has one."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.client import ClientConfig, Plugin
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultPayloadConverter
from temporalio.service import ConnectConfig, ServiceClient

from temporal_runner.plan import ConnectionPlan


def converter_arguments(plan: ConnectionPlan) -> dict[str, Any]:
    """The arguments of `Client.connect` that say how data is converted, and its plugins.

    A plugin that brings a converter may refuse to take the place of another one, and cannot tell
    the runner's default from what a user chose. So it comes after all of them.
    """
    if plan.data_converter is not None or not plan.plugins:
        converter = plan.data_converter or pydantic_data_converter
        return {"data_converter": converter, "plugins": list(plan.plugins)}
    return {"plugins": [*plan.plugins, PydanticByDefault()]}


class PydanticByDefault(Plugin):
    """Converts payloads with pydantic where the plugins before it leave the SDK's default."""

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """Put the converter in; a codec that a plugin has set stays."""
        converter = config["data_converter"]
        if converter.payload_converter_class is DefaultPayloadConverter:
            ours = pydantic_data_converter.payload_converter_class
            config["data_converter"] = dataclasses.replace(converter, payload_converter_class=ours)
        return config

    async def connect_service_client(
        self,
        config: ConnectConfig,
        next: Callable[[ConnectConfig], Awaitable[ServiceClient]],  # noqa: A002
    ) -> ServiceClient:
        """Change nothing."""
        return await next(config)
