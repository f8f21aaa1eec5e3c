"""Makes a plan: the steps from a loaded config, in their order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from temporalio.worker import WorkflowRunner

from temporal_runner.config.load import LoadedConfig
from temporal_runner.config.model import RunnerConfig
from temporal_runner.config.problems import ConfigError, Spot, in_order
from temporal_runner.config.workers import WorkerSettings
from temporal_runner.config.yaml_tree import Node
from temporal_runner.errors import PluginError, UsageError
from temporal_runner.plan.connections import plan_connections
from temporal_runner.plan.imports import add_import_paths
from temporal_runner.plan.listeners import Listeners
from temporal_runner.plan.records import DEFAULT_CONNECTION, ConnectionPlan, Plan
from temporal_runner.plan.resolve import Resolver
from temporal_runner.plan.retries import Retries
from temporal_runner.plan.task_queues import TaskQueues
from temporal_runner.plan.worker_checks import check_prepared, check_together, check_worker
from temporal_runner.plan.workers import plan_worker, warn_of_left_out
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.values.wording import suggest


def make_plan(
    loaded: LoadedConfig,
    catalog: Catalog,
    only: Iterable[str] = (),
    *,
    runner_of: Callable[[WorkerSettings], WorkflowRunner] | None = None,
) -> Plan:
    """Resolve a loaded config.

    Args:
        loaded: The config.
        catalog: The installed plugins; those that the config names as files are added to it.
        only: Names of the workers and listeners to run; all by default. The whole config is
            checked either way, less the variables and secrets' files that listeners need which
            do not run; the SDK of a source that none of them uses is not loaded.
        runner_of: What runs a worker's workflows, to see whether it can load each of them, which
            takes its time; a worker that starts sees it anyway.

    Raises:
        ConfigError: Something in the config is wrong.
        UsageError: `only` names what there is not.
    """
    settings = loaded.settings
    only = set(only)
    _load_local_plugins(loaded, catalog)
    add_import_paths(settings.import_paths)
    resolver = Resolver(loaded, catalog)
    retries = Retries(resolver)
    connections = plan_connections(resolver, retries.retry)
    workers = [
        plan for name in settings.workers if (plan := plan_worker(resolver, retries.restart, name))
    ]
    warn_of_left_out(resolver, workers)
    for worker in workers:
        connection = connections.get(worker.connection)
        if connection is not None:
            check_worker(resolver, worker, connection)
            if runner_of is not None:
                check_prepared(resolver, worker, connection, runner_of(worker.settings))
    check_together(resolver, workers, only)
    plans = Listeners(resolver, retries, TaskQueues(loaded, workers), only)
    listeners = [found for name in settings.listeners if (found := plans.plan(name))]
    plans.check_options_of_the_rest()
    _check_names(loaded)
    if only:
        _drop_absent_of_the_rest(loaded, running=only)
    if not settings.workers and not settings.listeners and not loaded.problems:
        loaded.problem((), "there is nothing to run: add workers, listeners or both")
    if any(problem.severity == "error" for problem in loaded.problems):
        raise ConfigError(loaded.problems)
    wanted = _wanted(only, [*settings.workers, *settings.listeners])
    workers = [worker for worker in workers if worker.name in wanted]
    listeners = [listener for listener in listeners if listener.name in wanted]
    used = {DEFAULT_CONNECTION, *(worker.connection for worker in workers)}
    for listener in listeners:
        used |= {listener.connection, *(route.connection for route in listener.routes)}
    return Plan(
        file=loaded.file,
        connections={name: plan for name, plan in connections.items() if name in used},
        workers=workers,
        listeners=listeners,
        dead_letters=settings.dead_letters,
        admin=settings.admin,
        log=settings.log,
        shutdown_timeout=settings.shutdown_timeout.total_seconds(),
        warnings=in_order(loaded.problems),
    )


def connection_plans(loaded: LoadedConfig | None, catalog: Catalog) -> list[ConnectionPlan]:
    """The connections of a config alone, or without one that which the environment describes.

    Raises:
        ConfigError: Something in the config is wrong, as far as it is read for this.
    """
    if loaded is None:
        tree = Node({}, Spot(Path(), 1, 1))
        loaded = LoadedConfig(Path(), tree, RunnerConfig())
    _load_local_plugins(loaded, catalog)
    add_import_paths(loaded.settings.import_paths)
    resolver = Resolver(loaded, catalog)
    plans = plan_connections(resolver, Retries(resolver).retry)
    _drop_absent_of_the_rest(loaded, running=())
    if any(problem.severity == "error" for problem in loaded.problems):
        raise ConfigError(loaded.problems)
    return list(plans.values())


def _load_local_plugins(loaded: LoadedConfig, catalog: Catalog) -> None:
    for index, file in enumerate(loaded.settings.plugins):
        try:
            catalog.add_file(Path(file))
        except PluginError as error:
            loaded.problem(("plugins", index), str(error))


def _check_names(loaded: LoadedConfig) -> None:
    """`--only` and the logs tell components by their names alone."""
    for name in loaded.settings.listeners.keys() & loaded.settings.workers.keys():
        message = "a worker has that name too: give one of them another"
        loaded.problem(("listeners", name), message, at_key=True)


def _drop_absent_of_the_rest(loaded: LoadedConfig, running: Collection[str]) -> None:
    """What this environment does not give to a listener that does not run here is no error.

    Else the container of one listener would need the secrets of all others.
    """
    section = loaded.tree.child("listeners")
    listeners = section.value if section and isinstance(section.value, dict) else {}
    needed: set[Spot] = set()
    others: set[Spot] = set()
    for name, entry in listeners.items():
        (needed if name in running else others).update(node.spot for node in entry.nodes())
    loaded.problems = [
        problem
        for problem in loaded.problems
        if not (problem.absent and problem.spot in others - needed)
    ]


def _wanted(only: set[str], names: Sequence[str]) -> set[str]:
    for name in sorted(only - set(names)):
        hint = suggest(name, names, otherwise=f"there are {', '.join(names)}")
        raise UsageError(f"--only {name}: no worker or listener has that name{hint}")
    return only or set(names)
