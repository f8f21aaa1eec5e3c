"""Plugins found, loaded and explained: files, and distributions that are installed for real."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from temporalio.client import Client

from temporal_runner.config.load import load
from temporal_runner.errors import PluginError
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog, resolve
from tests.conftest import WriteConfig
from tests.installed import install_offline, path_with, write_distribution
from tests.support import RunnerProcess, TemporalServer, run_runner

ACME_HOOKS = """
from acme_options import TickerOptions
from temporal_runner.plugin import BackoffKind, EventSourceKind, hookimpl

@hookimpl
def runner_event_sources():
    yield EventSourceKind(
        name="ticker", summary="ticks", options=TickerOptions, build="acme_source:Ticker"
    )

@hookimpl
def runner_backoff_strategies():
    yield BackoffKind(
        name="odd-steps", summary="137 ms each", build="acme_strategy:waits", jitter="none"
    )
"""
ACME_OPTIONS = """
from temporal_runner.plugin import Options

class TickerOptions(Options):
    tick: str
"""
ACME_STRATEGY = """
def waits(timing, options):
    yield 0
    while True:
        yield 0.137
"""
ACME_SOURCE = """
import asyncio

from temporal_runner.plugin import Delivery, Event, PullSource, TransientError

attempts = 0

class Tick(Delivery):
    async def ack(self, accepted):
        print(f"acked {self.event.id}", flush=True)
    async def nack(self, reason, *, retry_after=None): ...
    async def reject(self, reason): ...

class Ticker(PullSource):
    def __init__(self, options, context):
        self.tick, self.given = options.tick, False

    async def connect(self):
        global attempts
        attempts += 1
        if attempts < 3:
            raise TransientError("the clock is not wound up yet")

    async def receive(self):
        if self.given:
            await asyncio.Event().wait()
        self.given = True
        return [Tick(Event(id=self.tick, source="/acme/clock", type="tick", data={"n": 1}))]
"""
SECOND_HOOKS = """
from temporal_runner.plugin import BackoffKind, hookimpl

@hookimpl
def runner_backoff_strategies():
    yield BackoffKind(name="odd-steps", summary="mine", build="nowhere:at_all")
"""
NO_SDK = """
from acme_options import TickerOptions
from temporal_runner.plugin import EventSourceKind, hookimpl

@hookimpl
def runner_event_sources():
    yield EventSourceKind("no-sdk", "needs a library", TickerOptions, "needs_sdk:Source")
"""


@pytest.fixture(scope="module")
def outsiders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the project, with distributions in it: acme's sound one, and broken ones."""
    projects = tmp_path_factory.mktemp("projects")
    target = tmp_path_factory.mktemp("installed")
    install_offline(
        target,
        write_distribution(
            projects,
            "acme-runner",
            {"ticker": "acme_hooks"},
            acme_hooks=ACME_HOOKS,
            acme_options=ACME_OPTIONS,
            acme_source=ACME_SOURCE,
            acme_strategy=ACME_STRATEGY,
        ),
        write_distribution(
            projects,
            "broken-runner",
            {"broken": "broken_hooks", "gone": "gone_hooks", "needs-sdk": "needs_sdk_hooks"},
            broken_hooks="raise RuntimeError('it\\n  was never tried')",
            needs_sdk_hooks=NO_SDK,
            needs_sdk="import library_that_is_not_there",
        ),
    )
    return target


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two distributions that declare one name."""
    projects = tmp_path_factory.mktemp("projects")
    target = tmp_path_factory.mktemp("rivals")
    install_offline(
        target,
        write_distribution(projects, "rival-one", {"odd": "one"}, one=SECOND_HOOKS),
        write_distribution(projects, "rival-two", {"odd": "two"}, two=SECOND_HOOKS),
    )
    return target


TICKS = """
    listeners:
      ticks:
        source: {source}
        options: {{tick: {tick}}}
        routes: [{{start: Tick, task_queue: nobody, id: "${{{{ event.id }}}}"}}]
    """


def validate(path: Path, target: Path) -> tuple[int, str]:
    return run_runner("validate", path, env=path_with(target))


# Distributions. ----------------------------------------------------------------------------------


async def test_an_outsiders_source_and_strategy_run(
    outsiders: Path,
    temporal_server: TemporalServer,
    client: Client,
    start_runner: Callable[..., RunnerProcess],
    write_config: WriteConfig,
    tmp_path: Path,
) -> None:
    """A distribution from outside the project adds a source and a strategy; a config uses both."""
    config = write_config(
        f"temporal: {{address: '{temporal_server.address}'}}\nretry: {{strategy: odd-steps}}\n"
        + dedent(TICKS.format(source="ticker", tick=f"tick-{tmp_path.name}"))
    )
    runner = start_runner("start", config, env=path_with(outsiders))
    runner.wait_for(f"acked tick-{tmp_path.name}")
    assert "attempt 2 failed, transient TransientError: the clock" in runner.output
    assert runner.output.count("next attempt in 137ms") == 2
    started = await client.get_workflow_handle(f"tick-{tmp_path.name}").describe()
    assert started.workflow_type == "Tick"
    memo = await started.memo()
    assert memo["event"]["source"] == "/acme/clock"
    assert runner.stop() == 0
    await client.get_workflow_handle(started.id).terminate()


def test_plugins_lists_whose_each_is(outsiders: Path) -> None:
    """`runner plugins` names the distribution and version of each, and what did not load."""
    code, output = run_runner("plugins", "--json", env=path_with(outsiders))
    assert code == 0
    listed = json.loads(output)
    whose = {row["name"]: f"{row['distribution']} {row['version']}" for row in listed["plugins"]}
    assert whose["ticker"] == whose["odd-steps"] == "acme-runner 1.2.3"
    assert whose["no-sdk"] == "broken-runner 1.2.3"
    assert whose["exponential"].startswith("temporal-runner ")
    broken = {row["name"]: row["cause"] for row in listed["broken"]}
    assert broken["broken"] == "RuntimeError: it was never tried"
    assert broken["gone"].startswith("ModuleNotFoundError: No module named 'gone_hooks'")


def test_a_broken_plugin_that_is_not_used_is_a_warning(
    outsiders: Path, write_config: WriteConfig
) -> None:
    """A plugin that does not load hurts no config but one that needs it."""
    code, output = validate(write_config(TICKS.format(source="ticker", tick="x")), outsiders)
    assert code == 0
    assert (
        "warning: the plugin 'broken' of broken-runner 1.2.3 does not load:"
        " RuntimeError: it was never tried"
    ) in output


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "broken",
            "the plugin 'broken' of broken-runner 1.2.3 does not load: RuntimeError: it was",
        ),
        ("gone", "the plugin 'gone' of broken-runner 1.2.3 does not load: ModuleNotFoundError: No"),
        ("queue", "the plugin 'broken' of broken-runner 1.2.3 does not load: RuntimeError: it was"),
        ("no-sdk", "event source 'no-sdk' of broken-runner 1.2.3: the build target 'needs_sdk:S"),
        ("no-sdk", "does not import: ModuleNotFoundError: No module named 'library_that_is_not"),
    ],
)
def test_a_broken_plugin_that_is_used_is_an_error(
    outsiders: Path, write_config: WriteConfig, source: str, said: str
) -> None:
    """The config that needs it is told, at its line, the distribution and the cause."""
    path = write_config(TICKS.format(source=source, tick="x"))
    code, output = validate(path, outsiders)
    assert code == 2
    assert said in output
    assert ("(known: " in output) == (source == "queue")  # where the culprit is not sure
    assert "config.yaml:4:" in output
    assert "Traceback" not in output


def test_a_name_declared_twice_names_both(rivals: Path, write_config: WriteConfig) -> None:
    """Two distributions with one name are an error that names them, not a matter of luck."""
    code, output = run_runner("plugins", env=path_with(rivals))
    assert code == 2
    assert output.strip() == (
        "the backoff strategy 'odd-steps' is declared twice, by rival-one 1.2.3 and by"
        " rival-two 1.2.3: rename it in one of them, or do without that one"
    )


# Unknown names. ----------------------------------------------------------------------------------


def test_an_unknown_name_lists_the_known(write_config: WriteConfig) -> None:
    """Who misspells a name sees the nearest one and all there are."""
    with pytest.raises(PluginError) as raised:
        Catalog().strategies.get("expontial")
    assert str(raised.value) == (
        "unknown backoff strategy 'expontial'; did you mean exponential?"
        " (known: constant, decorrelated, exponential, fibonacci)"
    )


@pytest.mark.parametrize("name", ["s3", "azure", "webhook"])
def test_our_own_plugins_say_how_to_install_them(name: str) -> None:
    """A source that is ours and is not installed comes with the command that installs it."""
    with pytest.raises(PluginError) as raised:
        Catalog().sources.get(name)
    assert str(raised.value) == (
        f"unknown event source '{name}'; install it with:"
        f" pip install 'temporal-runner[{name}]' (known: none)"
    )


# Files. ------------------------------------------------------------------------------------------

HEAD = """
from temporal_runner.plugin import BackoffKind, EventSourceKind, NoOptions, Options, hookimpl
"""
LocalPlugin = Callable[[str], Catalog]


@pytest.fixture
def with_file(tmp_path: Path) -> LocalPlugin:
    """A catalog with one plugin that is a file."""

    def load(text: str) -> Catalog:
        path = tmp_path / "my_plugin.py"
        path.write_text(HEAD + dedent(text), encoding="utf-8")
        catalog = Catalog()
        catalog.add_file(path)
        return catalog

    return load


def test_a_file_is_a_plugin(with_file: LocalPlugin) -> None:
    """One Python file with hooks declares kinds as a distribution does, its path their origin."""
    catalog = with_file(
        """
        @hookimpl
        def runner_backoff_strategies():
            yield BackoffKind("mine", "one second", lambda timing, options: iter([0, 1]))
        """
    )
    kind, origin = catalog.strategies.kinds["mine"]
    assert kind.summary == "one second"
    assert origin.name.endswith("my_plugin.py")
    assert callable(catalog.strategies.build("mine"))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("def broken(:", "SyntaxError: "),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit('I leave')", "SystemExit: I leave"),
        ("hooks = 1", "TypeError: it has no hook: functions marked with @hookimpl"),
        ("def runner_event_sources(): yield 1", "TypeError: it has no hook"),
        (
            "@hookimpl\ndef runner_event_source(): return []",
            "PluginValidationError: unknown hook 'runner_event_source'",
        ),
        (
            "@hookimpl\ndef runner_event_sources(config): return []",
            "'config'} are declared in the hookimpl but can not be found in the hookspec",
        ),
        ("@hookimpl\ndef runner_event_sources(): pass", "runner_event_sources returned None"),
        (
            "@hookimpl\ndef runner_event_sources(): return 'queue'",
            "TypeError: runner_event_sources yielded a str, not a EventSourceKind",
        ),
        (
            "@hookimpl\ndef runner_event_sources(): yield BackoffKind('x', '', 'a:b')",
            "runner_event_sources yielded a BackoffKind, not a EventSourceKind",
        ),
        (
            "@hookimpl\ndef runner_backoff_strategies(): return BackoffKind('x', '', 'a:b')",
            "TypeError: 'BackoffKind' object is not iterable",
        ),
        (
            "@hookimpl\ndef runner_event_sources(): yield EventSourceKind('x', '', dict, 'a:b')",
            "the options of 'x' are not a pydantic model",
        ),
        (
            "@hookimpl\ndef runner_event_sources(): yield EventSourceKind('', '', Options, 'a:b')",
            "runner_event_sources yielded a EventSourceKind without a name",
        ),
        (
            "@hookimpl\ndef runner_backoff_strategies(): return [BackoffKind('x', '', 'a:b')] * 2",
            "runner_backoff_strategies yielded 'x' twice",
        ),
        ("@hookimpl\ndef runner_event_sources():\n    yield 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(with_file: LocalPlugin, text: str, cause: str) -> None:
    """Whatever a plugin's author got wrong is said in one line, with the file and the cause."""
    with pytest.raises(PluginError) as raised:
        with_file(text)
    assert "the plugin 'my_plugin' of " in str(raised.value)
    assert cause in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_may_not_take_a_built_in_name(with_file: LocalPlugin) -> None:
    """A plugin does not replace a built-in strategy silently."""
    with pytest.raises(PluginError, match=r"'constant' .* twice, by temporal-runner .*my_"):
        with_file(
            """
            @hookimpl
            def runner_backoff_strategies():
                yield BackoffKind("constant", "mine", "a:b")
            """
        )


def test_files_of_one_name_are_two_plugins(tmp_path: Path) -> None:
    """Two folders may each have a plugin.py; neither is taken for the other."""
    catalog = Catalog()
    for name in ("one", "two"):
        path = tmp_path / name / "plugin.py"
        path.parent.mkdir()
        path.write_text(
            f"{HEAD}\nNAME = '{name}'\ndef build(timing, options): return NAME\n@hookimpl\n"
            "def runner_backoff_strategies(): yield BackoffKind(NAME, '', build)\n",
            encoding="utf-8",
        )
        catalog.add_file(path)
    builds = [catalog.strategies.build(name) for name in ("one", "two")]
    assert [build(None, None) for build in builds] == ["one", "two"]
    assert len({build.__module__ for build in builds}) == 2


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A config that names a file that is not there is told so."""
    with pytest.raises(PluginError, match=r"the plugin 'gone' .*FileNotFoundError"):
        Catalog().add_file(tmp_path / "gone.py")
    with pytest.raises(PluginError, match=r"it is not a Python file"):
        Catalog().add_file(tmp_path / "gone.txt")


# Build targets. ----------------------------------------------------------------------------------


def test_a_build_target_is_a_callable_or_its_name() -> None:
    """What is callable is taken as it is; a text is imported, attributes of attributes too."""
    assert resolve(dict) is dict
    assert resolve("temporal_runner.plugin.catalog:Catalog") is Catalog
    assert resolve("temporal_runner.plugin.catalog:Catalog.installed") == Catalog.installed


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("no_such_module:Source", "does not import: ModuleNotFoundError"),
        ("temporal_runner.plugin.catalog:Catalogue", "does not import: AttributeError"),
        ("temporal_runner.plugin.catalog", "does not import: ValueError"),
        ("temporal_runner.plugin.catalog:OWN_EXTRAS", "is not callable"),
    ],
)
def test_a_wrong_build_target_is_named(target: str, cause: str) -> None:
    """A target that does not import, is not there or cannot be called is named with the cause."""
    with pytest.raises(PluginError, match=f"the build target '{target}' {cause}"):
        resolve(target)


# One line of YAML. -------------------------------------------------------------------------------

STEPS = f"""{HEAD}
def waits(timing, options):
    yield 0
    while True:
        yield options.step

class Steps(Options):
    step: float = 0.25

@hookimpl
def runner_backoff_strategies():
    yield BackoffKind("steps", "the same step", waits, Steps, jitter="none")

@hookimpl
def runner_event_sources():
    yield EventSourceKind("silent", "says nothing", NoOptions, lambda options, context: None)
"""


@pytest.mark.parametrize(
    ("line", "delays"),
    [
        ("strategy: exponential", [1, 2, 4]),
        ("strategy: fibonacci", [1, 1, 2]),
        ("strategy: constant", [1, 1, 1]),
        ("strategy: steps", [0.25, 0.25, 0.25]),
        ("strategy: steps, options: {step: 3}", [3, 3, 3]),
    ],
)
def test_a_strategy_is_swapped_by_one_line(
    write_config: WriteConfig, line: str, delays: list[float]
) -> None:
    """`strategy: NAME` is all it takes, for a built-in strategy and for a plugin's."""
    write_config(STEPS, "steps.py")
    config = write_config(
        f"""
        plugins: [./steps.py]
        retry: {{{line}, base_delay: 1s, jitter: none}}
        listeners:
          silence: {{source: silent, routes: [{{start: Flow, task_queue: elsewhere}}]}}
        """
    )
    plan = make_plan(load(config), Catalog.installed())
    for retry in (plan.connections[""].retry, plan.listeners[0].retry):
        waits = retry.backoff.delays()
        assert [waits.next() for _ in delays] == delays


def test_a_wrong_option_of_a_plugins_strategy_has_its_place(write_config: WriteConfig) -> None:
    """A strategy's options are checked by its own model, with the line and column."""
    write_config(STEPS, "steps.py")
    config = write_config(
        """\
        plugins: [./steps.py]
        retry: {strategy: steps, options: {stepp: 3}}
        workers: {w: {task_queue: q, workflows: [a:B]}}
        """
    )
    code, output = run_runner("validate", config)
    assert code == 2
    assert "config.yaml:2:36" in output
    assert "did you mean step?" in output
