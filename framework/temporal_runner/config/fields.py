"""What every section of the config has in common."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A section: strict, frozen, its fields described by the text below each."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


SearchAttributeType = Literal["Text", "Keyword", "Int", "Double", "Bool", "Datetime", "KeywordList"]
"""Temporal's types of search attributes."""

_NAME = r"[A-Za-z_][\w.]*"
_TARGET = f"^{_NAME}:{_NAME}$"
_MODULE_OR_TARGET = f"^{_NAME}(:{_NAME})?$"
_ADDRESS = r"^(\[[0-9A-Fa-f:]+\]|[^:/@\s]+):\d{1,5}$"
_LAST_PORT = 65535


def _matching(pattern: str, message: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError("pattern", message)
        return text

    return AfterValidator(check)


Target = Annotated[
    str,
    _matching(_TARGET, "must be written package.module:name"),
    Field(json_schema_extra={"pattern": _TARGET}),
]
"""Something to import, written "package.module:name"."""

ModuleOrTarget = Annotated[
    str,
    _matching(_MODULE_OR_TARGET, "must be written package.module or package.module:name"),
    Field(json_schema_extra={"pattern": _MODULE_OR_TARGET}),
]
"""A module (all that it defines) or one thing in it, "package.module:name"."""


def _has_a_port(address: str) -> str:
    if int(address.rpartition(":")[2]) > _LAST_PORT:
        raise PydanticCustomError("port", "there is no such port: the last one is 65535")
    return address


Address = Annotated[
    str,
    _matching(_ADDRESS, "must be host:port, such as localhost:7233"),
    AfterValidator(_has_a_port),
    Field(json_schema_extra={"pattern": _ADDRESS}),
]
"""A host and a port."""
