"""The sections `temporal` and `connections` to plans of connections."""

from __future__ import annotations

from dataclasses import replace

from temporalio.client import Interceptor, Plugin
from temporalio.converter import DataConverter

from temporal_runner.config.connections import ConnectionSettings, TemporalSettings, TlsSettings
from temporal_runner.config.problems import Loc
from temporal_runner.plan.definitions import extension_of
from temporal_runner.plan.records import DEFAULT_CONNECTION, ConnectionPlan, Plan, WorkerPlan
from temporal_runner.plan.resolve import Resolver
from temporal_runner.retry.connector import RetryOptions


def plan_connections(resolver: Resolver, retry: RetryOptions) -> dict[str, ConnectionPlan]:
    """Every connection by name."""
    temporal = _at_dev_server(resolver.settings.temporal)
    plans = {
        DEFAULT_CONNECTION: _plan(resolver, retry, DEFAULT_CONNECTION, temporal, ("temporal",))
    }
    for name, settings in resolver.settings.connections.items():
        settings = _on_default_cluster(settings, temporal)
        plans[name] = _plan(resolver, retry, name, settings, ("connections", name))
    return plans


def _at_dev_server(temporal: TemporalSettings) -> TemporalSettings:
    """The address is where the embedded server serves."""
    if temporal.dev_server is None or temporal.dev_server.port is None:
        return temporal
    host = (temporal.address or "localhost:").rpartition(":")[0]
    return temporal.model_copy(update={"address": f"{host}:{temporal.dev_server.port}"})


def _on_default_cluster(
    settings: ConnectionSettings, temporal: TemporalSettings
) -> ConnectionSettings:
    """A connection that names no cluster is another namespace of the default one."""
    if settings.address is not None or settings.profile is not None:
        return settings
    changes = {key: getattr(settings, key) for key in settings.model_fields_set}
    base = {
        key: getattr(temporal, key)
        for key in ConnectionSettings.model_fields
        if key in temporal.model_fields_set
    }
    if temporal.tls is not None and settings.tls is not None:
        changes["tls"] = _tls_over(settings.tls, temporal.tls)
    if "grpc_meta" in changes:
        changes["grpc_meta"] = {**temporal.grpc_meta, **settings.grpc_meta}
    return ConnectionSettings.model_construct(**{**base, **changes})


def _tls_over(settings: TlsSettings, base: TlsSettings) -> TlsSettings:
    """Certificate by certificate; a client's pair is one thing."""
    own = {name: getattr(settings, name) for name in settings.model_fields_set}
    kept = {name: getattr(base, name) for name in base.model_fields_set}
    for part in ("server_ca_cert", "client_cert", "client_key"):
        if own.keys() & {f"{part}_path", f"{part}_data"}:
            for form in ("path", "data"):
                kept.pop(f"{part}_{form}", None)
    if "disabled" not in own:
        kept.pop("disabled", None)  # a section of its own turns TLS on
    return TlsSettings.model_construct(**{**kept, **own})


def _plan(
    resolver: Resolver, retry: RetryOptions, name: str, settings: ConnectionSettings, loc: Loc
) -> ConnectionPlan:
    if settings.tls is not None:
        _check_files(resolver, settings.tls, (*loc, "tls"))
    converter = settings.data_converter
    return ConnectionPlan(
        name=name,
        settings=settings,
        retry=retry,
        data_converter=resolver.find(
            converter, lambda target: extension_of(target, DataConverter), (*loc, "data_converter")
        )
        if converter
        else None,
        plugins=resolver.extensions(settings.plugins, Plugin, (*loc, "plugins")),
        interceptors=resolver.extensions(
            settings.interceptors, Interceptor, (*loc, "interceptors")
        ),
        dev_server=settings.dev_server if isinstance(settings, TemporalSettings) else None,
    )


def _check_files(resolver: Resolver, tls: TlsSettings, loc: Loc) -> None:
    """Report files of certificates that cannot be read."""
    node, _ = resolver.loaded.tree.follow(loc)
    written = node.value if isinstance(node.value, dict) else {}
    for key in ("server_ca_cert_path", "client_cert_path", "client_key_path"):
        file = getattr(tls, key)
        if file is None or tls.disabled or key not in written:
            continue  # a connection on the default cluster: reported there
        try:
            file.read_bytes()
        except OSError as error:
            resolver.loaded.problem((*loc, key), f"cannot read {file}: {error.strerror}")


def at_address(plan: Plan, address: str) -> Plan:
    """The same plan, with the default cluster at this address: where its embedded server serves."""
    default = plan.connections[DEFAULT_CONNECTION].settings

    def moved(connection: ConnectionPlan) -> ConnectionPlan:
        settings = connection.settings
        if (settings.address, settings.profile) != (default.address, default.profile):
            return connection
        return replace(connection, settings=settings.model_copy(update={"address": address}))

    def told(worker: WorkerPlan) -> WorkerPlan:
        if worker.alone is None:
            return worker
        settings = worker.alone.settings
        temporal = settings.temporal.model_copy(update={"address": address, "dev_server": None})
        settings = settings.model_copy(update={"temporal": temporal})
        return replace(worker, alone=replace(worker.alone, settings=settings))

    return replace(
        plan,
        connections={name: moved(one) for name, one in plan.connections.items()},
        workers=[told(worker) for worker in plan.workers],
    )
