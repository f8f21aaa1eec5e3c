"""Config to plan: what sections say of one another, inheritance, and which parts are to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from temporal_runner.config.load import load
from temporal_runner.errors import UsageError
from temporal_runner.events.event import Event
from temporal_runner.plan import connection_plans
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.routing.actions import Start
from temporal_runner.routing.routes import route
from tests.config.reading import (
    WORKER,
    found,
    fresh_imports,  # noqa: F401
    plan_of,
    write_flows,
)
from tests.conftest import WriteConfig

TICK = """
from temporal_runner.plugin import (
    BackoffKind, EventSourceKind, Options, PullSource, hookimpl)

class TickOptions(Options):
    every: int = 1

class Tick(PullSource):
    def __init__(self, options, context): ...
    async def receive(self): return []

class StepOptions(Options):
    steps: list[float]

def steps(timing, options):
    yield 0.0
    while True:
        yield from options.steps

@hookimpl
def runner_event_sources():
    yield EventSourceKind("tick", "ticks", TickOptions, Tick)

@hookimpl
def runner_backoff_strategies():
    yield BackoffKind("steps", "in steps", steps, StepOptions, jitter="none")
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    """The workflows and the plugin that these configs name."""
    write_flows(tmp_path)
    (tmp_path / "tick.py").write_text(TICK)


def config(routes: str = "[{start: FulfilOrder}]", more: str = "", worker: str = WORKER) -> str:
    """A worker and a listener `l`."""
    return (
        f"plugins: [./tick.py]\n{more}{worker}listeners:\n  l:\n    source: tick\n"
        f"    routes: {routes}\n"
    )


def line(text: str, needle: str) -> str:
    """`line:column` of the first place where a text holds another."""
    before = text[: text.index(needle)]
    return f"{before.count(chr(10)) + 1}:{len(before.rsplit(chr(10), 1)[-1]) + 1}"


# Definitions. -------------------------------------------------------------------------------------


def test_a_sound_config(write_config: WriteConfig) -> None:
    """Everything that is named is imported; a route without a queue gets its workflow's."""
    plan = plan_of(write_config(config()))
    (worker,), (listener,) = plan.workers, plan.listeners
    assert [found.__name__ for found in worker.workflows] == ["FulfilOrder"]
    assert [found.__name__ for found in worker.activities] == ["ship_order"]
    action = route(listener.routes, Event(id="1", source="/s", type="t")).action
    assert isinstance(action, Start)
    assert action.start.options.task_queue == "orders"
    assert plan.warnings == ()


@pytest.mark.parametrize(
    ("workflows", "activities", "problem"),
    [
        ("[shop_flows:Nope]", "[]", "workflows[0]: there is no 'Nope' in shop_flows"),
        ("[no_flows:A]", "[]", ("workflows[0]: there is no module 'no_flows': check the spelling"
                               " and import_paths")),
        ("[shop_flows:NoWorkflow]", "[]", ("workflows[0]: shop_flows:NoWorkflow is no workflow:"
                                          " it has no @workflow.defn")),
        ("[shop_flows, shop_flows:RefundOrder]", "[]",
         "workflows[1]: the workflow 'Refund' is given twice (first by shop_flows)"),
        ("[]", "[shop_flows:weigh_order, 'shop_flows:weigh_order']",
         "activities[1]: the activity 'weigh' is given twice (first by shop_flows:weigh_order)"),
        ("[]", "[shop_flows:no_activity]", "activities[0]: shop_flows:no_activity is no activity"),
        ("[raises]", "[]", ("workflows[0]: raises does not import: ZeroDivisionError: division by"
                           " zero ({folder}/raises.py:1)")),
    ],
)  # fmt: skip
def test_definitions_that_are_not_sound(
    write_config: WriteConfig, tmp_path: Path, workflows: str, activities: str, problem: str
) -> None:
    """What does not import, is the wrong thing or comes twice is reported at its entry."""
    write_flows(tmp_path, "1 / 0", "raises")
    text = f"workers:\n  w:\n    task_queue: q\n    workflows: {workflows}\n"
    text += f"    activities: {activities}\n"
    (only,) = found(write_config(text))
    assert only.partition(" workers.w.")[2].startswith(problem.format(folder=tmp_path))
    section, _, index = problem.partition(":")[0].partition("[")
    row = {"workflows": 4, "activities": 5}[section]
    entries = {"workflows": workflows, "activities": activities}[section]
    column = entries.index(entries[1:-1].split(", ")[int(index[:-1])]) if index == "0]" else None
    if column is not None:
        assert only.startswith(f"{row}:{len(section) + 4 + 3 + column} ")
    else:
        assert only.startswith(f"{row}:")


def test_extensions_and_executors(write_config: WriteConfig) -> None:
    """Interceptors, converters and factories are resolved, or reported at their key."""
    worker = WORKER + (
        "    interceptors: [shop_flows:NoWorkflow]\n"
        "    activity_executor: {factory: shop_flows:__name__}\n"
    )
    text = config(worker=worker, more="temporal: {data_converter: shop_flows:NoWorkflow}\n")
    assert found(write_config(text)) == [
        (
            f"{line(text, 'shop_flows:NoWorkflow}')} temporal.data_converter: shop_flows:NoWorkflow"
            " gives a NoWorkflow, not a DataConverter"
        ),
        (
            f"{line(text, 'shop_flows:NoWorkflow]')} workers.orders.interceptors[0]:"
            " shop_flows:NoWorkflow gives a NoWorkflow, not a Interceptor"
        ),
        (
            f"{line(text, 'shop_flows:__name__')} workers.orders.activity_executor.factory:"
            " shop_flows:__name__ is no function: it is a str"
        ),
    ]


# Sections and one another. ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "needle", "problem"),
    [
        ("{start: FulfilOrder, task_queue: order}", "order}",
         ("warning: listeners.l.routes[0].task_queue: no worker of this file serves the task queue"
         " 'order'; did you mean orders?")),
        ("{start: FulfillOrder, task_queue: orders}", "FulfillOrder",
         ("warning: listeners.l.routes[0].start: no worker of the task queue 'orders' has the"
         " workflow 'FulfillOrder'; did you mean FulfilOrder?")),
        ("{signal_with_start: s, id: i, workflow: X, task_queue: orders}", "X,",
         ("warning: listeners.l.routes[0].workflow: no worker of the task queue 'orders' has the"
         " workflow 'X'")),
        ("{start_activity: ship_ordr, task_queue: orders, start_to_close_timeout: 1s}",
         "ship_ordr,",
         ("warning: listeners.l.routes[0].start_activity: no worker of the task queue 'orders' has"
         " the activity 'ship_ordr'; did you mean ship_order?")),
        ("{start: Elsewhere}", "{start: E",
         ("listeners.l.routes[0]: give a task_queue: no worker of this file has the workflow"
         " 'Elsewhere'")),
    ],
)  # fmt: skip
def test_routes_that_nobody_serves(
    write_config: WriteConfig, route: str, needle: str, problem: str
) -> None:
    """A queue or a type that no worker here has may be served elsewhere: that is a warning."""
    text = config(f"[{route}]")
    assert found(write_config(text)) == [f"{line(text, needle)} {problem}"]


def test_a_queue_that_cannot_be_told(write_config: WriteConfig) -> None:
    """A workflow that two workers have needs its route's queue."""
    second = WORKER.replace("workers:\n", "").replace("orders", "others")
    text = config(worker=WORKER + second)
    assert found(write_config(text)) == [
        (
            f"{line(text, '{start')} listeners.l.routes[0]: give a task_queue: more than one worker"
            " of this file has the workflow 'FulfilOrder'"
        )
    ]


def test_a_worker_and_a_listener_of_one_name(write_config: WriteConfig) -> None:
    """Names are shared by workers and listeners: `--only` could not tell them apart."""
    text = config(worker=WORKER.replace("  orders:", "  l:"))
    place = line(text, "l:\n    source")
    assert found(write_config(text)) == [
        f"{place} listeners.l: a worker has that name too: give one of them another"
    ]


def test_an_error_in_a_listener_does_not_hide_those_of_its_options(
    write_config: WriteConfig,
) -> None:
    """A listener whose own keys are wrong has its source and options checked all the same."""
    text = config("[{strat: FulfilOrder}]") + "    options: {evry: 1}\n  m: {source: tik}\n"
    assert [problem.split(";")[0] for problem in found(write_config(text))] == [
        f"{line(text, 'strat')} listeners.l.routes[0].strat: unknown option",
        f"{line(text, 'evry')} listeners.l.options.evry: unknown option",
        f"{line(text, 'm: {source')} listeners.m.routes: is required",
        f"{line(text, 'tik}')} listeners.m.source: unknown event source 'tik'",
    ]


# Connections. -------------------------------------------------------------------------------------


def test_connections_inherit(write_config: WriteConfig) -> None:
    """A named connection without an address is the default one with changes; with one it is new."""
    more = (
        "temporal: {address: 'a:1', namespace: n, api_key: k, rpc_timeout: 9s}\n"
        "connections:\n  billing: {namespace: b}\n  far: {address: 'far:1', namespace: f}\n"
    )
    text = config("[{start: Elsewhere, task_queue: q, connection: billing}]", more)
    text += "    connection: far\n"
    plan = plan_of(write_config(text))
    billing, far = plan.connections["billing"].settings, plan.connections["far"].settings
    assert (billing.address, billing.namespace) == ("a:1", "b")
    assert billing.api_key is not None
    assert billing.rpc_timeout.total_seconds() == 9
    assert (far.address, far.namespace, far.api_key) == ("far:1", "f", None)
    assert plan.listeners[0].connection == "far"
    assert plan.listeners[0].routes[0].connection == "billing"


def test_unknown_connections(write_config: WriteConfig) -> None:
    """A connection that there is not lists those there are, wherever it is named."""
    more = "connections: {billing: {namespace: b}}\n"
    worker = WORKER + "    connection: biling\n"
    text = config("[{signal: s, id: i, connection: other}]", more, worker)
    assert found(write_config(text)) == [
        (
            f"{line(text, 'biling')} workers.orders.connection: unknown connection 'biling';"
            " did you mean billing?"
        ),
        (
            f"{line(text, 'other}')} listeners.l.routes[0].connection: unknown connection 'other';"
            " known: billing"
        ),
    ]


# Retries. -----------------------------------------------------------------------------------------


def test_a_listener_inherits_what_it_does_not_change(write_config: WriteConfig) -> None:
    """A listener's `retry` changes single options of the top-level one."""
    more = "retry: {strategy: fibonacci, base_delay: 2s, max_delay: 9s, max_attempts: 4}\n"
    text = config(more=more) + "    retry: {max_delay: 5s, timeout: null}\n"
    plan = plan_of(write_config(text))
    retry, base = plan.listeners[0].retry, plan.connections[""].retry
    assert (retry.backoff.name, retry.backoff.timing.base_delay) == ("fibonacci", 2)
    assert (retry.backoff.timing.max_delay, retry.max_attempts, retry.timeout) == (5, 4, None)
    assert (base.backoff.timing.max_delay, base.timeout) == (9, 600)


def test_a_strategys_options_are_inherited_with_it(write_config: WriteConfig) -> None:
    """A listener that keeps a plugin's strategy keeps its options; another strategy has its own."""
    more = "retry: {strategy: steps, options: {steps: [0.5]}}\n"
    kept = plan_of(write_config(config(more=more) + "    retry: {max_delay: 5s}\n"))
    assert kept.listeners[0].retry.backoff.delays().next() == 0.5
    other = plan_of(write_config(config(more=more) + "    retry: {strategy: constant}\n"))
    assert other.listeners[0].retry.backoff.name == "constant"


def test_unknown_strategies(write_config: WriteConfig) -> None:
    """An unknown strategy lists the known ones, and hides nothing else."""
    text = config("[{start: Nope}]", "retry: {strategy: fibonaci, options: {x: 1}}\n")
    first, second = found(write_config(text))
    assert first.startswith("2:19 retry.strategy: unknown backoff strategy 'fibonaci';")
    assert "did you mean fibonacci?" in first
    assert second.startswith(f"{line(text, '{start')} listeners.l.routes[0]: give a task_queue")


# --only. ------------------------------------------------------------------------------------------


def test_only_runs_what_is_named(write_config: WriteConfig) -> None:
    """`--only` leaves out the other components, and connections that nobody uses."""
    path = write_config(config(more="connections: {unused: {namespace: x}}\n"))
    plan = plan_of(path, only=("orders",))
    assert [worker.name for worker in plan.workers] == ["orders"]
    assert plan.listeners == []
    assert list(plan.connections) == [""]


def test_only_what_there_is(write_config: WriteConfig) -> None:
    """A misspelt `--only` says what may have been meant, or what there is."""
    path = write_config(config())
    with pytest.raises(UsageError, match=r"--only ordres: no worker or listener has that name; did"
                                         r" you mean orders\?"):  # fmt: skip
        plan_of(path, only=("ordres",))
    with pytest.raises(UsageError, match="there are orders, l"):
        plan_of(path, only=("x",))


def test_only_does_not_hide_errors(write_config: WriteConfig) -> None:
    """The whole config is checked, also what is not to run now."""
    with pytest.raises(UsageError, match="give a task_queue"):
        plan_of(write_config(config("[{start: Nope}]")), only=("orders",))


ABSENT = """
    plugins: [tick.py]
    listeners:
      one: {source: tick, options: {every: "${ONE:?}"}, routes: [{start: Greet, task_queue: q}]}
      two: {source: tick, options: {every: "${TWO:?}"}, routes: [{start: Greet, task_queue: q}]}
      three:
        source: webhook
        options: {verify: {scheme: api_key, keys: [{from_env: KEY_THREE}, {from_file: none}]}}
        routes: [{start: Greet, task_queue: q}]
"""


def test_only_needs_the_variables_of_what_runs(write_config: WriteConfig) -> None:
    """A container of one listener has no need of the others' secrets; without --only all count."""
    path = write_config(ABSENT)
    plan = plan_of(path, {"ONE": "3"}, only=("one",))
    assert [listener.name for listener in plan.listeners] == ["one"]
    with pytest.raises(UsageError) as refused:
        plan_of(path, only=("two",))
    assert "TWO is not set" in str(refused.value)
    assert "KEY_THREE" not in str(refused.value)
    with pytest.raises(UsageError) as refused:
        plan_of(path, only=("three",))
    assert "KEY_THREE is not set" in str(refused.value)
    assert "cannot read the secret's file" in str(refused.value)
    assert "TWO" not in str(refused.value)
    with pytest.raises(UsageError) as refused:
        plan_of(path)
    for missing in ("TWO", "KEY_THREE", "cannot read the secret's file"):
        assert missing in str(refused.value)


def test_connections_need_no_variables_of_listeners(write_config: WriteConfig) -> None:
    """What `runner wait` reads of a config."""
    loaded = load(write_config(ABSENT), {})
    assert [plan.name for plan in connection_plans(loaded, Catalog.installed())] == [""]
    loaded = load(write_config("temporal: {address: '${WHERE:?}'}"), {})
    with pytest.raises(UsageError, match="WHERE is not set"):
        connection_plans(loaded, Catalog.installed())


def test_only_loads_no_sdk_that_it_does_not_use(write_config: WriteConfig) -> None:
    """A container that runs one part of a config needs the memory of that part alone."""
    write_config(
        """
        from temporal_runner.plugin import EventSourceKind, Options, hookimpl

        @hookimpl
        def runner_event_sources():
            yield EventSourceKind("heavy", "needs an SDK", Options, "sdk_not_installed:Source")
        """,
        "heavy.py",
    )
    write_config(TICK, "tick.py")
    listener = "{source: %s, routes: [{start: Greet, task_queue: q}]}"
    config = write_config(f"""
        plugins: [heavy.py, tick.py]
        listeners:
          light: {listener % "tick"}
          heavy: {listener % "heavy"}
        """)
    assert [each.name for each in plan_of(config, only=("light",)).listeners] == ["light"]
    assert "sdk_not_installed" in str(found(config))
