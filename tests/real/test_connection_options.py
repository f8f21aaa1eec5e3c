"""A connection's options are one model: config, environment and profile by the same rules."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.service import TLSConfig

from temporal_runner import GaveUp, PermanentError, connect_to_temporal_with_retry
from temporal_runner.config.load import load
from temporal_runner.errors import UsageError
from temporal_runner.plan import connection_plans
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.runtime.connection.target import Target, make_target
from temporal_runner.runtime.connection.temporal import TemporalConnection
from tests.conftest import WriteConfig
from tests.real.impostors import Authority, forward_to, grpc_server, serving
from tests.support import TemporalServer, free_port, run_runner

UNAUTHENTICATED = 16
Prepare = Callable[..., Target]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def pems(authority: Authority, tmp_path: Path) -> dict[str, Path]:
    """A pair and its authority, as files."""
    certificate, key = authority.client_pair()
    files = {"ca": authority.pem, "cert": certificate, "key": key}
    for name, content in files.items():
        (tmp_path / f"{name}.pem").write_bytes(content)
    return {name: tmp_path / f"{name}.pem" for name in files}


@pytest.fixture
def prepare(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """The target of a config's connection in an environment."""

    def make(config: str = "{}", name: str = "", **environment: object) -> Target:
        for variable, value in environment.items():
            monkeypatch.setenv(f"TEMPORAL_{variable}", str(value))
        plans = connection_plans(load(write_config(config)), Catalog.installed())
        return make_target(next(plan for plan in plans if plan.name == name))

    return make


def tls_of(target: Target) -> TLSConfig:
    tls = target.credentials.read()["tls"]
    assert isinstance(tls, TLSConfig)
    return tls


# Addresses. ---------------------------------------------------------------------------------------

NO_ADDRESSES = [
    "temporal",
    "https://temporal:7233",
    "http://temporal:7233",
    "dns:///temporal:7233",
    "temporal:7233/",
    "user@temporal:7233",
    "temporal:",
    ":7233",
    "::1:7233",
    " temporal:7233",
    "temporal:7233\n",
    "temporal:99999",
]


@pytest.mark.parametrize("address", NO_ADDRESSES)
async def test_an_address_is_refused_wherever_it_comes_from(
    prepare: Prepare, tmp_path: Path, address: str
) -> None:
    """The environment, a profile, the public function, `--address`: as in the YAML, at once."""
    with pytest.raises(UsageError, match="TEMPORAL_ADDRESS: "):
        prepare(ADDRESS=address)
    with pytest.raises(UsageError, match="TEMPORAL_ADDRESS: "):
        await connect_to_temporal_with_retry()
    with pytest.raises(PermanentError, match="next step: give it as host:port"):
        await connect_to_temporal_with_retry(address)
    toml = tmp_path / "temporal.toml"
    toml.write_text(f"[profile.prod]\naddress = {address!r}\n".replace("'", '"'))
    connection = "connections: {east: {profile: prod, config_file: temporal.toml}}"
    with pytest.raises(UsageError, match=r"address of profile 'prod' of .*temporal.toml: "):
        prepare(connection, "east")


@pytest.mark.parametrize(
    ("option", "environment", "origin"),
    [
        (("--address", "localhost"), {}, "--address localhost"),
        ((), {"TEMPORAL_ADDRESS": "localhost"}, "TEMPORAL_ADDRESS"),
    ],
)
def test_an_address_of_the_command_line(
    option: tuple[str, ...], environment: dict[str, str], origin: str
) -> None:
    """Exit 2 at once, and what is wrong."""
    code, output = run_runner("wait", *option, "--timeout", "20s", env=environment)
    assert code == 2
    assert f"{origin}: must be host:port, such as localhost:7233" in output


def test_port_0_is_none_to_connect_to(prepare: Prepare) -> None:
    """Only an embedded server picks one."""
    with pytest.raises(UsageError, match="port 0"):
        prepare("temporal: {address: 'localhost:0'}")


# Certificates. ------------------------------------------------------------------------------------


def test_the_rest_of_tls_is_inherited(prepare: Prepare, pems: dict[str, Path]) -> None:
    """A name of the config, with the authority and pair of the environment."""
    target = prepare(
        "temporal: {tls: {server_name: temporal.example.org}}",
        TLS_SERVER_CA_CERT_PATH=pems["ca"],
        TLS_CLIENT_CERT_PATH=pems["cert"],
        TLS_CLIENT_KEY_DATA=pems["key"].read_text(),
    )
    tls = tls_of(target)
    assert tls.domain == "temporal.example.org"
    assert tls.server_root_ca_cert == pems["ca"].read_bytes()
    assert tls.client_cert == pems["cert"].read_bytes()
    assert tls.client_private_key == pems["key"].read_bytes()


def test_a_pair_is_replaced_as_one(
    prepare: Prepare, pems: dict[str, Path], authority: Authority, tmp_path: Path
) -> None:
    """The config's certificate never goes with the environment's key."""
    certificate, key = authority.client_pair()
    (tmp_path / "own.pem").write_bytes(certificate)
    (tmp_path / "own.key").write_bytes(key)
    tls = tls_of(
        prepare(
            "temporal: {tls: {client_cert_path: own.pem, client_key_path: own.key}}",
            TLS_SERVER_CA_CERT_PATH=pems["ca"],
            TLS_CLIENT_CERT_PATH=pems["cert"],
            TLS_CLIENT_KEY_PATH=pems["key"],
            TLS_SERVER_NAME="temporal.example.org",
        )
    )
    assert (tls.client_cert, tls.client_private_key) == (certificate, key)
    assert tls.server_root_ca_cert == pems["ca"].read_bytes()
    assert tls.domain == "temporal.example.org"


def test_a_connection_of_the_same_cluster_inherits_each_certificate(
    prepare: Prepare, pems: dict[str, Path]
) -> None:
    """`connections.NAME.tls` lies over `temporal.tls` as that does over the environment."""
    config = """
        temporal:
          address: localhost:7233
          tls: {server_ca_cert_path: ca.pem, client_cert_path: cert.pem, client_key_path: key.pem}
          grpc_meta: {one: a, two: b}
        connections:
          billing: {namespace: billing, tls: {server_name: n.example}, grpc_meta: {two: c}}
          plain: {namespace: plain, tls: {disabled: true}}
    """
    target = prepare(config, "billing")
    tls = tls_of(target)
    assert (tls.domain, tls.server_root_ca_cert) == ("n.example", pems["ca"].read_bytes())
    assert tls.client_private_key == pems["key"].read_bytes()
    assert target.credentials.read()["rpc_metadata"] == {"one": "a", "two": "c"}
    assert prepare(config, "plain").credentials.read()["tls"] is False


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"TLS_SERVER_CA_CERT_PATH": "gone.pem"}, r"TEMPORAL_TLS_SERVER_CA_CERT_PATH \(gone.pem\)"),
        ({"TLS_CLIENT_CERT_PATH": "gone.pem"}, "CERT_PATH .* set without the client's key"),
        ({"TLS_CLIENT_KEY_DATA": "k"}, "KEY_DATA: .* set without the client's certificate"),
        ({"TLS_SERVER_CA_CERT_DATA": "text"}, "TEMPORAL_TLS_SERVER_CA_CERT_DATA: it is no PEM"),
        ({"TLS_SERVER_CA_CERT_PATH": "/dev/zero"}, "larger than"),
        ({"TLS_SERVER_CA_CERT_PATH": "/"}, "Is a directory"),
        ({"TLS": "off"}, "TEMPORAL_TLS: must be true or false"),
        ({"CONFIG_FILE": "/gone.toml"}, "TEMPORAL_CONFIG_FILE: there is no file /gone.toml"),
        ({"CONFIG_FILE": "/"}, "TEMPORAL_CONFIG_FILE: there is no file /"),
        ({"API_KEY": "a\nb"}, "TEMPORAL_API_KEY: .* no header can carry"),
        ({"API_KEY": " \n"}, "TEMPORAL_API_KEY: it is empty"),
        ({"GRPC_META_TOKEN": "a\nb"}, "TEMPORAL_GRPC_META_TOKEN: .* no header can carry"),
    ],
)
async def test_a_mistake_of_the_environment_is_named(
    prepare: Prepare, variables: dict[str, str], told: str
) -> None:
    """At the start, by its variable; the public function says the same."""
    with pytest.raises(UsageError, match=told):
        prepare(**variables)
    with pytest.raises((UsageError, PermanentError), match=told):
        await connect_to_temporal_with_retry()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("config_file: gone.toml", r"temporal.config_file: there is no file .*gone.toml"),
        (
            "tls: {server_ca_cert_path: gone.pem}",
            "temporal.tls.server_ca_cert_path: cannot read .*gone.pem",
        ),
        ("tls: {server_ca_cert_data: text}", "temporal.tls.server_ca_cert_data: it is no PEM"),
        ('api_key: "a\\nb"', "temporal.api_key: .* no header can carry"),
        ('grpc_meta: {"a b": x}', "temporal.grpc_meta.a b: that is no key"),
        ('grpc_meta: {":path": x}', "temporal.grpc_meta.:path: that is no key"),
        ("grpc_meta: {token-bin: x}", "temporal.grpc_meta.token-bin: that is no key"),
        ('grpc_meta: {token: "a\\nb"}', "temporal.grpc_meta.token: .* no header can carry"),
    ],
)
def test_a_mistake_of_the_config_is_named(prepare: Prepare, option: str, told: str) -> None:
    """At the start, by its option."""
    with pytest.raises(UsageError, match=told):
        prepare(f"temporal:\n  {option}\n")


def test_a_start_with_a_mistake_of_the_environment(write_config: WriteConfig) -> None:
    """One line and exit 2, and no traceback."""
    config = write_config(f"""
        import_paths: [{Path(__file__).parents[2]}]
        workers: {{echo: {{task_queue: q, workflows: [tests.real.flows:Echo]}}}}
    """)
    code, output = run_runner("start", config, env={"TEMPORAL_TLS_SERVER_CA_CERT_PATH": "gone.pem"})
    assert code == 2, output
    assert "TEMPORAL_TLS_SERVER_CA_CERT_PATH (gone.pem): it cannot be read: No such file" in output
    assert "Traceback" not in output


def test_an_empty_variable_is_not_set(prepare: Prepare) -> None:
    """Compose and Kubernetes set what they were given nothing for."""
    names = ("ADDRESS", "NAMESPACE", "API_KEY", "TLS", "TLS_CLIENT_CERT_PATH", "CONFIG_FILE")
    target = prepare(**dict.fromkeys(names, ""))
    assert (target.address, target.namespace) == ("localhost:7233", "default")
    assert target.credentials.read() == {}


def test_a_file_that_a_connection_of_its_own_names_is_read(
    prepare: Prepare, tmp_path: Path
) -> None:
    """With an address beside it, too: its default profile."""
    (tmp_path / "t.toml").write_text('[profile.default]\nnamespace = "from-the-file"\n')
    target = prepare("connections: {east: {address: 'e:1', config_file: t.toml}}", "east")
    assert (target.address, target.namespace) == ("e:1", "from-the-file")


# API keys. ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["the-key\n", "the-key\r\n", " the-key ", "the-key"])
async def test_blanks_around_an_api_key_are_no_part_of_it(
    prepare: Prepare, write_config: WriteConfig, tmp_path: Path, key: str
) -> None:
    """The SDK leaves the header out where the key ends in a newline, without a word."""
    (tmp_path / "key").write_text(key)
    heard: list[dict[str, str]] = []
    async with serving(grpc_server(UNAUTHENTICATED, heard=heard)) as address:
        plain = f"address: '{address}', tls: {{disabled: true}}"
        from_file = f"temporal: {{{plain}, api_key: {{from_file: key}}}}"
        meta = f"temporal: {{{plain}, grpc_meta: {{authorization: {{from_file: key}}}}}}"
        for target in (
            prepare(from_file),
            prepare(meta),
            prepare(f"temporal: {{{plain}}}", API_KEY=key),
        ):
            with pytest.raises(RuntimeError):
                await target.connect()
        with pytest.raises(PermanentError):
            await connect_to_temporal_with_retry(address, api_key=key, tls=False)
    assert [headers["authorization"].removeprefix("Bearer ") for headers in heard] == [
        "the-key"
    ] * 4


# Credentials that change. -------------------------------------------------------------------------


async def test_files_are_read_at_every_connect(
    temporal_server: TemporalServer, prepare: Prepare, tmp_path: Path
) -> None:
    """A pair, an authority and a key that were replaced: the next connect presents the new ones."""
    old, new = Authority(), Authority()

    def put(authority: Authority, api_key: str) -> None:
        certificate, key = authority.client_pair()
        for name, content in (
            ("ca", authority.pem),
            ("cert", certificate),
            ("key", key),
            ("api-key", api_key.encode()),
        ):
            (tmp_path / name).write_bytes(content)

    put(old, "old-key\n")
    tls = new.server_context("127.0.0.1", ask_client=True)
    async with serving(forward_to(temporal_server.address), tls) as address:
        target = prepare(f"""
            temporal:
              address: '{address}'
              api_key: {{from_file: api-key}}
              grpc_meta: {{token: {{from_file: api-key}}}}
              tls:
                server_ca_cert_path: ca
                client_cert_path: cert
                client_key_data: {{from_file: key}}
        """)
        with pytest.raises(RuntimeError):
            await target.connect()
        put(new, "new-key\n")
        client = await target.connect()
    assert client.api_key == "new-key"
    assert client.rpc_metadata["token"] == "new-key"


@pytest.mark.parametrize("wakes", [True, False])
async def test_an_outage_that_a_rotation_ends(
    temporal_server: TemporalServer, write_config: WriteConfig, tmp_path: Path, wakes: bool
) -> None:
    """The server trusts only the new pair when it is back; of a fleet, which keeps its client."""
    old, new = Authority(), Authority()

    def put(authority: Authority) -> None:
        certificate, key = authority.client_pair()
        for name, content in (("ca", authority.pem), ("cert", certificate), ("key", key)):
            (tmp_path / name).write_bytes(content)

    put(old)
    port = free_port()
    tls = "server_ca_cert_path: ca, client_cert_path: cert, client_key_path: key"
    config = write_config(f"""
        retry: {{wake_on_port: {str(wakes).lower()}, base_delay: 50ms, max_delay: 100ms}}
        temporal: {{address: '127.0.0.1:{port}', tls: {{{tls}}}}}
    """)
    connection = TemporalConnection(connection_plans(load(config), Catalog.installed())[0])
    forward = forward_to(temporal_server.address)
    async with serving(forward, old.server_context("127.0.0.1", ask_client=True), port):
        running = asyncio.create_task(connection.run())
        await asyncio.wait_for(connection.wait_available(), 20)
        changed = asyncio.create_task(connection.wait_changed())
        await asyncio.sleep(0)
    connection.suspect()
    await asyncio.wait_for(changed, 20)
    assert not connection.ready
    put(new)
    async with serving(forward, new.server_context("127.0.0.1", ask_client=True), port):
        await asyncio.wait_for(connection.wait_available(), 20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_worked_once_is_not_given_up(
    temporal_server: TemporalServer, write_config: WriteConfig, tmp_path: Path
) -> None:
    """The server is back with another authority's certificate: waited out until we trust it."""
    old, new = Authority(), Authority()
    (tmp_path / "ca").write_bytes(old.pem)
    port = free_port()
    config = write_config(f"""
        retry: {{base_delay: 50ms, max_delay: 100ms}}
        temporal: {{address: '127.0.0.1:{port}', tls: {{server_ca_cert_path: ca}}}}
    """)
    connection = TemporalConnection(connection_plans(load(config), Catalog.installed())[0])
    forward = forward_to(temporal_server.address)
    async with serving(forward, old.server_context("127.0.0.1"), port):
        running = asyncio.create_task(connection.run())
        await asyncio.wait_for(connection.wait_available(), 20)
        changed = asyncio.create_task(connection.wait_changed())
        await asyncio.sleep(0)
    await asyncio.wait_for(changed, 20)
    async with serving(forward, new.server_context("127.0.0.1"), port):
        while "InvalidCertificate" not in connection.error:
            assert not running.done(), "it was given up"
            await asyncio.sleep(0.02)
        (tmp_path / "ca").write_bytes(new.pem)
        await asyncio.wait_for(connection.wait_available(), 20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_file_that_is_being_replaced_is_waited_for(
    temporal_server: TemporalServer, prepare: Prepare, tmp_path: Path
) -> None:
    """It was there at the start: a moment without it is no end."""
    key = tmp_path / "api-key"
    key.write_text("old")
    target = prepare(f"""
        temporal:
          address: '{temporal_server.address}'
          tls: {{disabled: true}}
          api_key: {{from_file: api-key}}
    """)
    key.unlink()
    plan = connection_plans(None, Catalog.installed())[0]
    retry = dataclasses.replace(plan.retry, max_attempts=2)
    connector = target.connector(retry, logging.getLogger("test"))
    with pytest.raises(GaveUp, match=r"temporal.api_key: it cannot be read: No such file"):
        await connector.call(target.connect)
    key.write_text("new")
    assert (await target.connect()).api_key == "new"


async def test_the_public_function_reads_nothing_of_the_environment_that_it_is_given(
    temporal_server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument replaces what the environment says, a wrong one too."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", "https://wrong")
    monkeypatch.setenv("TEMPORAL_API_KEY", "wrong\nkey")
    monkeypatch.setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "/gone")
    client = await connect_to_temporal_with_retry(
        temporal_server.address, tls=False, api_key=None, max_attempts=1
    )
    assert client.namespace == "default"
    del client
    with pytest.raises(GaveUp):
        await connect_to_temporal_with_retry(
            f"127.0.0.1:{free_port()}", tls=False, api_key=None, max_attempts=1
        )
