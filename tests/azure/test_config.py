"""An Azure listener's options: what is asked for, what is refused, and that no SDK loads for it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from temporal_runner_azure.config import AzureOptions, claims
from tests.conftest import WriteConfig
from tests.support import run_runner

ACCOUNT: dict[str, Any] = {"account": "myaccount"}
QUEUE: dict[str, Any] = {"mode": "queue", "queue": "events"}
LIST: dict[str, Any] = {"mode": "list", "container": "uploads"}


@pytest.mark.parametrize(
    "options",
    [
        QUEUE | ACCOUNT,
        QUEUE | {"connection_string": "UseDevelopmentStorage=true"},
        QUEUE | ACCOUNT | {"sas": "sv=1&sig=x"},
        QUEUE | ACCOUNT | {"account_key": "a2V5"},
        QUEUE | ACCOUNT | {"identity": "managed", "client_id": "c"},
        QUEUE | ACCOUNT | {"identity": "workload", "client_id": "c", "tenant_id": "t"},
        QUEUE | ACCOUNT | {"endpoint_suffix": "core.chinacloudapi.cn"},
        LIST | ACCOUNT,
        LIST | ACCOUNT | {"container": "$root"},
        LIST | ACCOUNT | {"dead_letter_queue": "rejected"},
    ],
)
def test_each_way_to_sign_in_is_accepted(options: dict[str, Any]) -> None:
    """Connection string, SAS, key, managed and workload identity, the default chain."""
    AzureOptions.model_validate(options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (QUEUE, "give connection_string or account"),
        (QUEUE | ACCOUNT | {"connection_string": "x"}, "give connection_string or account"),
        (QUEUE | {"connection_string": "x", "sas": "y"}, "connection_string says it all; drop sas"),
        (QUEUE | ACCOUNT | {"sas": "x", "account_key": "y"}, "give sas or account_key"),
        (QUEUE | ACCOUNT | {"sas": "x", "identity": "managed"}, "need no identity"),
        (QUEUE | ACCOUNT | {"tenant_id": "t"}, "tenant_id is for identity: workload"),
        ({"mode": "queue"} | ACCOUNT, "mode: queue needs queue"),
        ({"mode": "list"} | ACCOUNT, "mode: list needs container"),
        (LIST | ACCOUNT | {"existing": "skip"}, "existing: skip needs a state_file"),
        (QUEUE | ACCOUNT | {"prefix": "in/"}, "prefix is for mode: list"),
        (LIST | ACCOUNT | {"encoding": "text"}, "encoding is for mode: queue"),
        (QUEUE | ACCOUNT | {"queue": "Events"}, "small letters"),
        (LIST | ACCOUNT | {"container": "a--b"}, "small letters"),
        (QUEUE | ACCOUNT | {"queue": "e" * 60}, "give dead_letter_queue"),
        (QUEUE | ACCOUNT | {"dead_letter_queue": "events"}, "another queue"),
        (QUEUE | ACCOUNT | {"poll_min": "1m"}, "poll_min is longer than poll_max"),
        (QUEUE | ACCOUNT | {"visibility_timeout": "500ms"}, "greater than or equal"),
        (QUEUE | ACCOUNT | {"visibility_timeout": "8d"}, "less than or equal"),
        (QUEUE | ACCOUNT | {"endpoint": "x"}, "Extra inputs"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_dialled(
    options: dict[str, Any], reason: str
) -> None:
    """With a message that names the option."""
    with pytest.raises(ValidationError, match=reason):
        AzureOptions.model_validate(options)


@pytest.mark.parametrize(
    ("options", "claimed"),
    [
        (QUEUE | ACCOUNT, ["the queue myaccount/events"]),
        (
            QUEUE | {"connection_string": "AccountName=a;AccountKey=k;EndpointSuffix=x"},
            ["the queue a/events"],
        ),
        (
            QUEUE | {"connection_string": "QueueEndpoint=http://h:1/a;SharedAccessSignature=k"},
            ["the queue h:1/a/events"],
        ),
        (QUEUE | {"connection_string": "UseDevelopmentStorage=true"}, ["the queue events"]),
        (LIST | ACCOUNT, []),
        (LIST | ACCOUNT | {"state_file": "uploads.db"}, ["the state file uploads.db"]),
    ],
)
def test_what_two_listeners_cannot_share_is_claimed(
    options: dict[str, Any], claimed: list[str]
) -> None:
    """A queue by its account, a state file; no secret shows in it."""
    assert list(claims(AzureOptions.model_validate(options))) == claimed


def test_the_older_words_for_the_dead_letters_are_taken() -> None:
    """Configs that say poison_queue and max_deliveries go on to work."""
    older = {"poison_queue": "rejected", "max_deliveries": 3}
    options = AzureOptions.model_validate(QUEUE | ACCOUNT | older)
    assert (options.dead_letter_queue, options.max_receives) == ("rejected", 3)


def test_two_listeners_of_one_queue_fail_validate(write_config: WriteConfig) -> None:
    """The one would take, and count as done, what the other's routes want."""
    listener = (
        "{source: azure, options: {queue: events, account: myaccount}, "
        "routes: [{signal: s, id: w}]}"
    )
    config = write_config(f"listeners:\n  one: {listener}\n  two: {listener}\n")
    code, output = run_runner("validate", config)
    assert code == 2
    assert "the listener one has the queue myaccount/events already" in output


def test_options_show_no_secret() -> None:
    """Neither in repr nor in a message."""
    for name in ("sas", "account_key"):
        options = AzureOptions.model_validate(QUEUE | ACCOUNT | {name: "topsecret"})
        assert "topsecret" not in repr(options) + str(options) + options.model_dump_json()


def test_no_azure_library_loads_to_read_a_config() -> None:
    """It takes 0.4 s, which a runner without an Azure listener does not spend."""
    program = (
        "import sys, temporal_runner_azure.hooks as hooks; list(hooks.runner_event_sources());"
        "print([name for name in sys.modules if name == 'azure' or name.startswith('azure.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
