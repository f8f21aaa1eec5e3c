"""Values against the models: what a person reads who made a mistake, and where it points."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.reading import (
    WORKER,
    found,
    fresh_imports,  # noqa: F401
    problems,
    write_flows,
)
from tests.conftest import WriteConfig

LISTENER = """\
listeners:
  shop:
    source: webhook
    options: {verify: {scheme: none}}
    routes:
      - start: FulfilOrder
"""

MISTAKES = {
    "unknown key": ("log: {levle: info}", "1:7 log.levle: unknown option; did you mean level?"),
    "unknown key, no idea": (
        "log: {colour: red}",
        "1:7 log.colour: unknown option; known are format, level",
    ),
    "unknown section": ("worker: {}", "1:1 worker: unknown option; did you mean workers?"),
    "empty section": (
        "temporal:\n",
        "1:10 temporal: must be a mapping (key: value), and is empty",
    ),
    "list for a mapping": ("workers:\n- a\n", "2:1 workers: must be a mapping (key: value)"),
    "choice": (
        "log: {level: warn}",
        (
            "1:14 log.level: must be one of 'debug', 'info', 'warning' or 'error';"
            " did you mean 'warning'?"
        ),
    ),
    "YAML 1.1 boolean": (
        "workers: {w: {task_queue: q, workflows: [m:W], sandbox: no}}",
        "1:57 workers.w.sandbox: must be true or false",
    ),
    "number for a text": (
        "temporal: {namespace: 5}",
        "1:23 temporal.namespace: must be a text: put it in quotes",
    ),
    "empty text": ("temporal: {namespace: ''}", "1:23 temporal.namespace: must not be empty"),
    "duration without unit": (
        "shutdown_timeout: 30",
        (
            "1:19 shutdown_timeout: a duration has a number and a unit,"
            " such as 500ms, 30s, 10m or 1h30m"
        ),
    ),
    "zero duration": ("shutdown_timeout: 0s", "1:19 shutdown_timeout: must be longer than 0"),
    "out of range": (
        "admin: {port: 70000}",
        "1:15 admin.port: should be less than or equal to 65535",
    ),
    "fraction": ("admin: {port: 80.5}", "1:15 admin.port: must be a whole number"),
    "address": (
        "temporal: {address: localhost}",
        "1:21 temporal.address: must be host:port, such as localhost:7233",
    ),
    "target": (
        "temporal: {data_converter: converters}",
        "1:28 temporal.data_converter: must be written package.module:name",
    ),
    "both certificates": (
        "temporal:\n  tls: {server_ca_cert_path: a, server_ca_cert_data: b}",
        "2:8 temporal.tls: give server_ca_cert_path or server_ca_cert_data, not both",
    ),
    "half of mutual TLS": (
        "temporal: {tls: {client_cert_path: a}}",
        "1:17 temporal.tls: mutual TLS takes both a client certificate and its key",
    ),
    "worker without work": (
        "workers:\n  w: {task_queue: q}",
        "2:6 workers.w: a worker has workflows, activities or both",
    ),
    "one slot beside a cache": (
        "workers:\n  w: {task_queue: q, workflows: [m:W], max_concurrent_workflow_tasks: 1}",
        (
            "2:6 workers.w: max_concurrent_workflow_tasks is at least 2, unless"
            " max_cached_workflows is 0"
        ),
    ),
    "one poll beside a cache": (
        (
            "workers:\n  w: {task_queue: q, workflows: [m:W],\n"
            "    workflow_task_poller_behavior: {type: simple_maximum, maximum: 1}}"
        ),
        (
            "2:6 workers.w: workflow_task_poller_behavior's maximum is at least 2, unless"
            " max_cached_workflows is 0"
        ),
    ),
    "pollers out of order": (
        (
            "workers:\n  w: {task_queue: q, activities: [m:a],\n"
            "    activity_task_poller_behavior: {minimum: 5, maximum: 3}}"
        ),
        "3:36 workers.w.activity_task_poller_behavior: minimum (5) is above maximum (3)",
    ),
    "initial pollers out of range": (
        (
            "workers:\n  w: {task_queue: q, activities: [m:a],\n"
            "    activity_task_poller_behavior: {initial: 9, maximum: 3}}"
        ),
        (
            "3:36 workers.w.activity_task_poller_behavior: initial (9) is not between minimum (1)"
            " and maximum (3)"
        ),
    ),
    "missing": (
        "workers:\n  w: {workflows: [m:W]}",
        "2:3 workers.w.task_queue: is required",
    ),
    "no routes": (
        (
            "listeners:\n  l:\n    source: webhook\n    routes: []\n"
            "    options: {verify: {scheme: none}}"
        ),
        "4:13 listeners.l.routes: must not be empty",
    ),
}

ROUTES = {
    "two actions": (
        "- {start: X, signal: y}",
        (
            "6:9 listeners.shop.routes[0]: a route has exactly one of start, signal,"
            " signal_with_start, update, update_with_start, start_activity"
        ),
    ),
    "no action": (
        "- {when: 'true'}",
        (
            "6:9 listeners.shop.routes[0]: a route has exactly one of start, signal,"
            " signal_with_start, update, update_with_start, start_activity"
        ),
    ),
    "misspelt action": (
        "- {strat: FulfilOrder}",
        "6:10 listeners.shop.routes[0].strat: unknown option; did you mean start?",
    ),
    "another action's key": (
        "- {start: FulfilOrder, start_args: [1]}",
        "6:30 listeners.shop.routes[0].start_args: unknown option; did you mean start_delay?",
    ),
    "id that must be given": (
        "- {signal: go}",
        "6:9 listeners.shop.routes[0].id: is required",
    ),
    "misspelt on_duplicate": (
        "- {start: FulfilOrder, on_duplicate: ignor}",
        (
            "6:44 listeners.shop.routes[0].on_duplicate: must be one of 'ignore' or 'fail';"
            " did you mean 'ignore'?"
        ),
    ),
    "wrong signal on duplicate": (
        "- {start: FulfilOrder, on_duplicate: {signl: x}}",
        "6:45 listeners.shop.routes[0].on_duplicate.signl: unknown option; did you mean signal?",
    ),
    "the memo's own entry": (
        "- {start: FulfilOrder, memo: {event: 1}}",
        (
            "6:9 listeners.shop.routes[0]: the memo's entry `event` is where the event came from;"
            " use another"
        ),
    ),
    "a search attribute's type": (
        "- {start: FulfilOrder, search_attributes: {A: {type: Strin, value: x}}}",
        (
            "6:60 listeners.shop.routes[0].search_attributes.A.type: must be one of 'Text',"
            " 'Keyword', 'Int', 'Double', 'Bool', 'Datetime' or 'KeywordList'"
        ),
    ),
    "activity without a limit": (
        "- {start_activity: ship_order, task_queue: orders}",
        "6:9 listeners.shop.routes[0]: give schedule_to_close_timeout or start_to_close_timeout",
    ),
}


@pytest.mark.parametrize(("text", "problem"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_has_one_line_at_its_place(
    write_config: WriteConfig, text: str, problem: str
) -> None:
    """A typical mistake gives one line that points at it and says what to write."""
    assert found(write_config(text)) == [problem]


@pytest.mark.parametrize(("route", "problem"), ROUTES.values(), ids=ROUTES)
def test_a_mistake_in_a_route(
    write_config: WriteConfig, tmp_path: Path, route: str, problem: str
) -> None:
    """A route's mistakes are told in terms of the action that was meant."""
    write_flows(tmp_path)
    config = write_config(LISTENER.replace("- start: FulfilOrder", route) + WORKER)
    assert found(config) == [problem]


# Plugins' options. --------------------------------------------------------------------------------

WEBHOOK = {
    "unknown option": (
        "{verify: {scheme: none}, max_bdy: 1MB}",
        "4:39 listeners.shop.options.max_bdy: unknown option; did you mean max_body?",
    ),
    "wrong scheme": (
        "{verify: {scheme: githb}}",
        ("4:23 listeners.shop.options.verify: scheme must be one of "),
    ),
    "unknown within a union": (
        "{verify: {scheme: github, secrets: [long-enough-for-all], heade: y}}",
        "4:72 listeners.shop.options.verify.heade: unknown option; known are ",
    ),
    "size": (
        "{verify: {scheme: none}, max_body: big}",
        (
            "4:49 listeners.shop.options.max_body: a size has a number and a unit,"
            " such as 512B, 256KiB, 1MB or 2MiB"
        ),
    ),
    "huge size": (
        "{verify: {scheme: none}, max_body: %sGB}" % ("9" * 400),
        "4:49 listeners.shop.options.max_body: the size is too large",
    ),
    "missing": ("{port: 80}", "4:5 listeners.shop.options.verify: is required"),
}


@pytest.mark.parametrize(("options", "problem"), WEBHOOK.values(), ids=WEBHOOK)
def test_an_installed_plugins_options(
    write_config: WriteConfig, tmp_path: Path, options: str, problem: str
) -> None:
    """A plugin's own model judges its options, and its errors keep their places."""
    write_flows(tmp_path)
    config = write_config(LISTENER.replace("{verify: {scheme: none}}", options) + WORKER)
    (only,) = found(config)
    assert only.startswith(problem)


PLUGIN = """
from pydantic import model_validator
from temporal_runner.plugin import (
    BackoffKind, EventSourceKind, Options, PullSource, Secret, hookimpl)

class TickOptions(Options):
    every: int
    token: Secret | None = None
    url: str = ""

    @model_validator(mode="after")
    def _check(self):
        if self.every == 7:
            raise RuntimeError(f"seven!")
        if self.every == 8:
            raise ValueError(f"{self.token.reveal()} is no token for {self.url}")
        return self

class Tick(PullSource):
    def __init__(self, options, context): ...
    async def receive(self): return []

class StepOptions(Options):
    steps: list[int]

def claims(options):
    if options.every == 9:
        raise KeyError("nine")
    return [f"tick {options.every}"]

@hookimpl
def runner_event_sources():
    yield EventSourceKind("tick", "ticks", TickOptions, Tick, claims)

@hookimpl
def runner_backoff_strategies():
    yield BackoffKind("steps", "in steps", lambda timing, options: iter(options.steps), StepOptions)
"""

TICK = """\
plugins: [./tick.py]
listeners:
  clock:
    source: tick
    options: {options}
    routes: [{{start: FulfilOrder}}]
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("{every: 1}", []),
        ("{}", ["5:5 listeners.clock.options.every: is required"]),
        ("{evry: 1}", ["5:15 listeners.clock.options.evry: unknown option; did you mean every?"]),
        ("{every: x}", ["5:22 listeners.clock.options.every: must be a whole number"]),
        ("{every: 7}", ["5:14 listeners.clock.options: TickOptions fails with RuntimeError: seven!",
        ]),
        ("{every: 9}", [("5:14 listeners.clock.options: the source 'tick' cannot say"
                        " what it claims: KeyError('nine')")]),
    ],
)  # fmt: skip
def test_a_local_files_options(
    write_config: WriteConfig, tmp_path: Path, options: str, expected: list[str]
) -> None:
    """A plugin that is one file is judged alike, and what its code raises is a line too."""
    write_flows(tmp_path)
    write_config(PLUGIN, "tick.py")
    assert found(write_config(TICK.format(options=options) + WORKER)) == expected


def test_a_strategys_options(write_config: WriteConfig, tmp_path: Path) -> None:
    """A plugin's strategy has options under `retry.options`, judged at their place."""
    write_flows(tmp_path)
    write_config(PLUGIN, "tick.py")
    text = "plugins: [./tick.py]\nretry: {strategy: steps, options: {steps: [1, x], more: 1}}\n"
    assert found(write_config(text + WORKER)) == [
        "2:47 retry.options.steps[1]: must be a whole number",
        "2:51 retry.options.more: unknown option; known are steps",
    ]


def test_two_listeners_claim_one_thing(write_config: WriteConfig, tmp_path: Path) -> None:
    """What only one listener may have is an error for the second one that claims it."""
    write_flows(tmp_path)
    second = LISTENER.replace("listeners:\n", "").replace("shop", "copy")
    assert found(write_config(LISTENER + second + WORKER)) == [
        (
            "9:14 listeners.copy.options: the listener shop has http://127.0.0.1:8080/ already:"
            " give this one another"
        )
    ]


# What the user reads. -----------------------------------------------------------------------------


def test_a_problem_shows_its_line(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A problem names file, line, column and path, and shows the line with a caret."""
    monkeypatch.chdir(tmp_path)
    (problem,) = problems(write_config("workers:\n  w: {workflows: [m:W], task_que: q}"))
    assert str(problem) == (
        "config.yaml:2:25  workers.w.task_que: unknown option; did you mean task_queue?\n"
        "    2 |   w: {workflows: [m:W], task_que: …\n"
        "      |                         ^"
    )


def test_long_lines_are_cut_round_the_place(write_config: WriteConfig) -> None:
    """Of a very long line only what is near the place is shown, the caret still below it."""
    text = "log: {format: text,                " + " " * 300 + f"level: {'x' * 500}}}"
    (problem,) = problems(write_config(text))
    _, line, caret = str(problem).splitlines()
    assert len(line) < 200
    assert line[caret.index("^")] == "x"


def test_a_secrets_key_at_a_lines_end_cuts_nothing(write_config: WriteConfig) -> None:
    """A line that ends in a secret's key is shown whole."""
    (problem, *_) = problems(write_config("tmporal: &x {a: 1, api_key:\n    hunter2}"))
    assert "hunter2" not in str(problem)
    (problem, *_) = problems(write_config("log: {level: [a, {api_key:\n    hunter2}]}"))
    assert str(problem).splitlines()[1].endswith("log: {level: [a, {api_key:")


def test_control_characters_reach_no_terminal(write_config: WriteConfig) -> None:
    """A tab or an escape in the file is shown as a space."""
    (problem,) = problems(write_config("log: {level:\tinfo\tx}"))
    assert "\t" not in str(problem)
    assert str(problem).splitlines()[2].index("^") == str(problem).splitlines()[1].index("info")


def test_an_edited_file_is_read_anew(write_config: WriteConfig) -> None:
    """The line shown is that of the file as it is now, not of an earlier reading."""
    (first,) = problems(write_config("log: {level: first}"))
    assert "first" in str(first)
    (second,) = problems(write_config("log: {level: second}"))
    assert "second" in str(second)
