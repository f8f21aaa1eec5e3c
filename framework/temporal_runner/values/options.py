"""The base of every option model that a plugin declares."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """The base for a plugin's option model: unknown keys are errors, instances are frozen.

    The text below a field describes it in `runner schema`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
