"""What the environment and the TOML profile say of a connection, and where each value stands.

`temporalio.envconfig` reads both without checking either; what it lets pass is refused here.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from temporalio.envconfig import ClientConfigProfile

from temporal_runner.errors import UsageError
from temporal_runner.plan.sdk_internals import without_excerpts

log = logging.getLogger("temporal_runner.temporal")

_NOT_SUPPORTED = ("TEMPORAL_CODEC_", "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION")
"""What other SDKs and the CLI read and `temporalio.envconfig` drops without a word."""
_FILE_VARIABLE = "TEMPORAL_CONFIG_FILE"
_BOOLEANS = {"true", "1", "false", "0"}
"""Any other text would turn TLS on, `off` too."""
_USUAL_FILE = "Temporal's client configuration"


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of the TOML file with the TEMPORAL_* variables over it.

    Attributes:
        values: What both say.
        file: The profile and its file, for errors.
        variables: The variables that are set, where they are obeyed.
    """

    values: ClientConfigProfile
    file: str = ""
    variables: frozenset[str] = frozenset()

    def origin(self, name: str) -> str:
        """Where a value stands: its variable, or its key in the file.

        Args:
            name: Its key in the file, such as `tls.client_key`; a variable may end in `_PATH` or
                `_DATA` besides.
        """
        variable = "TEMPORAL_" + name.upper().replace(".", "_").replace("-", "_")
        for suffix in ("", "_PATH", "_DATA"):
            if variable + suffix in self.variables:
                return variable + suffix
        return f"{name} of {self.file}"


def load_profile(
    name: str | None, config_file: Path | None, *, ignore_env: bool, prefix: str = "temporal."
) -> Profile:
    """Read the file and the variables; an empty variable is one that is not set.

    Args:
        name: The profile; None is `default` or what TEMPORAL_PROFILE says.
        config_file: The file; None is its usual place.
        ignore_env: Take nothing from the environment, and no file that nobody named.
        prefix: What stands before the names of options in errors.

    Raises:
        UsageError: The file is not there or cannot be read, or has no such profile; a variable
            is not what it has to be.
    """
    if ignore_env and name is None and config_file is None:
        return Profile(ClientConfigProfile())
    environment = {} if ignore_env else {key: value for key, value in os.environ.items() if value}
    for name_set in sorted(environment):
        if name_set.startswith(_NOT_SUPPORTED):
            log.warning("%s is set, which Temporal's Python SDK does not support", name_set)
    if environment.get("TEMPORAL_TLS", "true").lower() not in _BOOLEANS:
        raise UsageError("TEMPORAL_TLS: must be true or false")
    if config_file is not None:
        _check_file(config_file, f"{prefix}config_file")
    elif variable := os.environ.get(_FILE_VARIABLE):
        config_file = Path(variable)
        _check_file(config_file, _FILE_VARIABLE)
    shown = repr(name or environment.get("TEMPORAL_PROFILE", "default"))
    where = f"profile {shown} of {config_file or _USUAL_FILE}"
    try:
        values = ClientConfigProfile.load(
            name,
            config_source=config_file,
            disable_env=ignore_env,
            override_env_vars=environment,
        )
    # The SDK's Rust side raises RuntimeError for a bad file and for an unknown profile.
    except (RuntimeError, ValueError, OSError) as error:
        named = f" (profile {name!r})" if name else ""
        raise UsageError(f"{_USUAL_FILE}{named}: {without_excerpts(error)}") from None
    return Profile(values, where, frozenset(environment))


def _check_file(file: Path, origin: str) -> None:
    """A file that is named and not there would be as good as none to the SDK."""
    if not file.is_file():
        raise UsageError(f"{origin}: there is no file {file}")
