"""Connecting: each way in which it fails, made for real, with its class and its next step."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.service import TLSConfig

from temporal_runner import GaveUp, PermanentError, connect_to_temporal_with_retry
from temporal_runner.config.load import load
from temporal_runner.plan.make import connection_plans
from temporal_runner.plugin.catalog import Catalog
from temporal_runner.runtime.connection.target import make_target
from tests.conftest import WriteConfig
from tests.real.impostors import (
    Authority,
    cutting,
    forward_to,
    grpc_server,
    serving,
    silent,
    web_server,
)
from tests.support import BIN, RunnerProcess, TemporalServer, free_port, run_runner

Figure = Callable[[str, object], None]

UNAVAILABLE, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 14, 8, 12
PERMISSION_DENIED, UNAUTHENTICATED = 7, 16


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The authority that the test's server has its certificate from."""
    return Authority()


async def fails(address: str, **arguments: object) -> GaveUp | PermanentError:
    """How connecting fails, with two attempts at most."""
    options = {"max_attempts": 2, "base_delay": 0.01, "attempt_timeout": 5, **arguments}
    try:
        await connect_to_temporal_with_retry(address, **options)  # type: ignore[arg-type]
    except (GaveUp, PermanentError) as error:
        return error
    raise AssertionError("it connected")


async def test_connects_to_a_server_that_is_there(temporal_server: TemporalServer) -> None:
    """The good case: a client whose namespace exists."""
    client = await connect_to_temporal_with_retry(temporal_server.address, max_attempts=1)
    assert client.namespace == "default"


async def test_a_refused_connection_is_transient() -> None:
    """Nothing listens: tried again, until the attempts are used up."""
    error = await fails(f"127.0.0.1:{free_port()}")
    assert isinstance(error, GaveUp)
    assert error.attempts == 2
    assert "connection refused" in str(error)
    assert "next step: is Temporal running there?" in str(error)


async def test_an_unknown_host_is_transient() -> None:
    """A service whose name is not known yet may come."""
    error = await fails("no-such-host.invalid:7233")
    assert isinstance(error, GaveUp)
    assert "the host's name is not known" in str(error)


async def test_tls_against_a_server_without_is_permanent(temporal_server: TemporalServer) -> None:
    """An API key turns TLS on, which a plain server does not speak."""
    error = await fails(temporal_server.address, api_key="not-shown")
    assert isinstance(error, PermanentError)
    assert "this client speaks TLS, and the server does not" in str(error)
    assert "remove `tls` and `api_key`" in error.next_step
    assert "not-shown" not in str(error)


async def test_no_tls_against_a_server_with_it_is_permanent(
    temporal_server: TemporalServer, authority: Authority
) -> None:
    """The SDK's text is ambiguous; a handshake settles it."""
    tls = authority.server_context("127.0.0.1")
    async with serving(forward_to(temporal_server.address), tls) as address:
        error = await fails(address)
    assert isinstance(error, PermanentError)
    assert "speaks TLS, and this client does not" in str(error)


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_compression(
    temporal_server: TemporalServer, write_config: WriteConfig, compression: str
) -> None:
    """Calls go over the network as they are, or compressed where the config says so."""
    sent = bytearray()
    forward = forward_to(temporal_server.address)

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain = reader.read

        async def read(most: int = -1) -> bytes:
            data = await plain(most)
            sent.extend(data)
            return data

        reader.read = read  # type: ignore[method-assign, assignment]
        await forward(reader, writer)

    async with serving(record) as address:
        file = write_config(
            f"temporal: {{address: '{address}', grpc_compression: {compression}}}\n"
        )
        plan = connection_plans(load(file), Catalog.installed())[0]
        await make_target(plan).connect()
    asked_for_the_namespace = b"\x0a\x07default"
    assert (asked_for_the_namespace in sent) is (compression == "none")


async def test_a_connection_that_is_closed_is_transient() -> None:
    """The same text from a server without TLS is no verdict: it is tried again."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return None

    async with serving(close) as address:
        error = await fails(address)
    assert isinstance(error, GaveUp)


async def test_a_wrong_authority_is_permanent(
    temporal_server: TemporalServer, authority: Authority
) -> None:
    """A certificate that another authority signed."""
    other = TLSConfig(server_root_ca_cert=Authority().pem)
    tls = authority.server_context("127.0.0.1")
    async with serving(forward_to(temporal_server.address), tls) as address:
        error = await fails(address, tls=other)
    assert isinstance(error, PermanentError)
    assert "the server's certificate is not trusted" in str(error)
    assert "tls.server_ca_cert_path" in error.next_step


async def test_a_wrong_name_is_permanent(
    temporal_server: TemporalServer, authority: Authority
) -> None:
    """A certificate for another host."""
    trusted = TLSConfig(server_root_ca_cert=authority.pem)
    tls = authority.server_context("temporal.example.org")
    async with serving(forward_to(temporal_server.address), tls) as address:
        error = await fails(address, tls=trusted)
    assert isinstance(error, PermanentError)
    assert "tls.server_name" in error.next_step


async def test_a_name_of_our_own_mends_a_wrong_name(
    temporal_server: TemporalServer, authority: Authority
) -> None:
    """With `server_name` the same certificate is good."""
    trusted = TLSConfig(server_root_ca_cert=authority.pem, domain="temporal.example.org")
    tls = authority.server_context("temporal.example.org")
    async with serving(forward_to(temporal_server.address), tls) as address:
        await connect_to_temporal_with_retry(address, tls=trusted, max_attempts=1)


async def test_mutual_tls(temporal_server: TemporalServer, authority: Authority) -> None:
    """A server that asks for a certificate: refused without one, welcome with it."""
    cert, key = authority.client_pair()
    without = TLSConfig(server_root_ca_cert=authority.pem)
    with_pair = TLSConfig(
        server_root_ca_cert=authority.pem, client_cert=cert, client_private_key=key
    )
    tls = authority.server_context("127.0.0.1", ask_client=True)
    with cutting(tls) as address:
        for client_tls in (without, False):
            error = await fails(address, tls=client_tls)
            assert isinstance(error, PermanentError)
        error = await fails(address, tls=without)
        assert "client_cert_path" in error.next_step  # type: ignore[union-attr]
    async with serving(forward_to(temporal_server.address), tls) as address:
        await connect_to_temporal_with_retry(address, tls=with_pair, max_attempts=1)


@pytest.mark.parametrize("status", [UNAUTHENTICATED, PERMISSION_DENIED])
async def test_a_wrong_key_is_permanent_unless_told_otherwise(status: int) -> None:
    """By default a refusal ends it at once; `retry_on` waits it out."""
    async with serving(grpc_server(status, "bad key")) as address:
        error = await fails(address)
        assert isinstance(error, PermanentError)
        assert "check the API key" in error.next_step
        error = await fails(address, retry_on=("permission_denied",))
        assert isinstance(error, GaveUp)


@pytest.mark.parametrize("status", [UNAVAILABLE, RESOURCE_EXHAUSTED])
async def test_a_server_that_starts_or_throttles_is_transient(status: int) -> None:
    """UNAVAILABLE and RESOURCE_EXHAUSTED pass by themselves."""
    async with serving(grpc_server(status, "later")) as address:
        assert isinstance(await fails(address), GaveUp)


async def test_a_web_server_is_tried_a_few_times() -> None:
    """HTTP/1 there may be a proxy that starts; three times in a row it is a wrong address."""
    async with serving(web_server) as address:
        error = await fails(address, max_attempts=10)
    assert isinstance(error, PermanentError)
    assert "what answers there speaks no gRPC" in str(error)
    assert "7233" in error.next_step


async def test_a_silent_server_is_bounded_by_the_attempt(figure: Figure) -> None:
    """Accepts and says nothing: each attempt ends at its time-out, and is tried again."""
    async with serving(silent) as address:
        began = time.monotonic()
        error = await fails(address, attempt_timeout=0.3)
        figure("two attempts of 0.3 s", f"{time.monotonic() - began:.2f} s")
    assert isinstance(error, GaveUp)
    assert "no answer within 300ms" in str(error)


async def test_a_silent_server_is_bounded_with_tls_too(authority: Authority) -> None:
    """The SDK alone would wait for ever."""
    async with serving(silent) as address:
        error = await fails(
            address, attempt_timeout=0.3, tls=TLSConfig(server_root_ca_cert=authority.pem)
        )
    assert isinstance(error, GaveUp)


async def test_the_timeout_holds() -> None:
    """`timeout` ends it, whatever the attempts do."""
    began = time.monotonic()
    error = await fails(f"127.0.0.1:{free_port()}", max_attempts=None, timeout=1.5)
    assert isinstance(error, GaveUp)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("address", ["127.0.0.1:notaport", "[::1", "a b:1"])
async def test_a_bad_address_is_permanent(address: str) -> None:
    """What is no address at all."""
    assert isinstance(await fails(address), PermanentError)


async def test_a_certificate_without_its_key_is_permanent(authority: Authority) -> None:
    """Half of a pair."""
    half = TLSConfig(server_root_ca_cert=authority.pem, client_cert=authority.client_pair()[0])
    error = await fails(f"127.0.0.1:{free_port()}", tls=half)
    assert isinstance(error, PermanentError)
    assert "set the client's key too" in error.next_step


async def test_a_missing_namespace_is_permanent_unless_told_otherwise(
    temporal_server: TemporalServer,
) -> None:
    """The SDK connects all the same: the runner looks."""
    error = await fails(temporal_server.address, namespace="nowhere")
    assert isinstance(error, PermanentError)
    assert "nowhere" in str(error)
    assert "create the namespace" in error.next_step
    late = await fails(
        temporal_server.address, namespace="nowhere", retry_on=("namespace_not_found",)
    )
    assert isinstance(late, GaveUp)


async def test_another_grpc_server_is_permanent() -> None:
    """The SDK connects all the same: the runner asks what only Temporal answers."""
    async with serving(grpc_server(UNIMPLEMENTED)) as address:
        error = await fails(address)
    assert isinstance(error, PermanentError)
    assert "it is not Temporal that answers there" in error.next_step


# The same from the command line: exit codes, and at once. -----------------------------------------


def refused_at_once(config: Path) -> str:
    """`runner start` ends with 1 long before the retry time-out of 10 minutes."""
    began = time.monotonic()
    code, output = run_runner("start", config)
    assert code == 1, output
    assert time.monotonic() - began < 15
    assert "Traceback" not in output
    return output


WORKER = """
    import_paths: [{root}]
    temporal:
      address: "{address}"
      {more}
    workers:
      echo: {{task_queue: q, workflows: [tests.real.flows:Echo]}}
"""


def worker_config(write_config: WriteConfig, address: str, more: str = "") -> Path:
    """A config with one worker."""
    root = Path(__file__).parents[2]
    return write_config(WORKER.format(root=root, address=address, more=more))


def test_start_with_a_missing_namespace(
    temporal_server: TemporalServer, write_config: WriteConfig
) -> None:
    """Its own message, exit 1, at once."""
    config = worker_config(write_config, temporal_server.address, "namespace: nowhere")
    output = refused_at_once(config)
    assert "Namespace nowhere is not found" in output
    assert "next step: create the namespace" in output


def test_start_with_tls_against_a_server_without(
    temporal_server: TemporalServer, write_config: WriteConfig
) -> None:
    """Its own message, exit 1, at once."""
    output = refused_at_once(worker_config(write_config, temporal_server.address, "tls: {}"))
    assert "this client speaks TLS, and the server does not" in output
    assert "next step: the server speaks no TLS" in output


async def test_start_without_tls_or_with_a_wrong_authority(
    temporal_server: TemporalServer, write_config: WriteConfig, authority: Authority, tmp_path: Path
) -> None:
    """Each its own message, exit 1, at once."""
    (tmp_path / "other.pem").write_bytes(Authority().pem)
    tls = authority.server_context("127.0.0.1")
    async with serving(forward_to(temporal_server.address), tls) as address:
        plain = worker_config(write_config, address)
        output = await asyncio.to_thread(refused_at_once, plain)
        assert "speaks TLS, and this client does not" in output
        assert "next step: set `tls: {}`" in output
        wrong = worker_config(write_config, address, "tls: {server_ca_cert_path: other.pem}")
        output = await asyncio.to_thread(refused_at_once, wrong)
        assert "the server's certificate is not trusted" in output
        assert "next step: set tls.server_ca_cert_path" in output


async def test_start_over_tls_with_the_right_authority(
    temporal_server: TemporalServer, write_config: WriteConfig, authority: Authority, tmp_path: Path
) -> None:
    """The relative path of the certificate is relative to the config."""
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    tls = authority.server_context("127.0.0.1")
    async with serving(forward_to(temporal_server.address), tls) as address:
        config = worker_config(write_config, address, "tls: {server_ca_cert_path: ca.pem}")
        code, output = await asyncio.to_thread(run_runner, "wait", config, "--timeout", "20s")
    assert code == 0, output


MUTUAL = {
    "as files": "server_ca_cert_path: ca.pem, client_cert_path: client.pem,"
    " client_key_path: client.key, server_name: temporal.example.org",
    "as texts": "server_ca_cert_data: '${CA}', client_cert_data: '${CERT}',"
    " client_key_data: {from_file: client.key}, server_name: temporal.example.org",
}


@pytest.mark.parametrize("tls", MUTUAL.values(), ids=MUTUAL)
async def test_mutual_tls_from_a_config(
    temporal_server: TemporalServer,
    write_config: WriteConfig,
    authority: Authority,
    tmp_path: Path,
    tls: str,
) -> None:
    """A client's pair, the server's authority and its name, as files and as texts."""
    certificate, key = authority.client_pair()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "client.pem").write_bytes(certificate)
    (tmp_path / "client.key").write_bytes(key)
    env = {"CA": authority.pem.decode(), "CERT": certificate.decode()}
    asks = authority.server_context("temporal.example.org", ask_client=True)
    async with serving(forward_to(temporal_server.address), asks) as address:
        config = worker_config(write_config, address, f"tls: {{{tls}}}")
        code, output = await asyncio.to_thread(
            run_runner, "wait", config, "--timeout", "20s", env=env
        )
    assert code == 0, output


async def test_a_pair_that_is_none_is_permanent(authority: Authority) -> None:
    """A key of another certificate, and one that is no key, fail at once."""
    certificate, _ = authority.client_pair()
    _, other = authority.client_pair()
    for key, told in ((other, "they are no pair"), (b"no key", "it is no PEM")):
        pair = TLSConfig(
            server_root_ca_cert=authority.pem, client_cert=certificate, client_private_key=key
        )
        error = await fails(f"127.0.0.1:{free_port()}", tls=pair)
        assert isinstance(error, PermanentError)
        assert told in str(error)


# runner wait. -------------------------------------------------------------------------------------


def test_wait_gives_up_in_time() -> None:
    """Nothing there: exit 1 after the time-out, each attempt logged."""
    address = f"127.0.0.1:{free_port()}"
    code, output = run_runner("wait", "--address", address, "--timeout", "3s")
    assert code == 1
    assert "attempt 1 failed, transient ConnectionRefused" in output
    assert f"error: Temporal at {address} (namespace default): gave up after" in output
    assert "(timeout 3s); the last error: connection refused" in output


def test_wait_with_a_bad_duration_is_a_usage_error() -> None:
    """Exit 2, and what a duration looks like."""
    code, output = run_runner("wait", "--timeout", "soon")
    assert code == 2
    assert "--timeout soon: a duration has a number and a unit" in output


async def test_100_health_checks_exit_0(temporal_server: TemporalServer, figure: Figure) -> None:
    """Interpreter exit is clean each time: a check that flaps restarts healthy containers."""
    codes: list[int] = []

    async def check() -> None:
        for _ in range(50):
            process = await asyncio.create_subprocess_exec(
                BIN / "runner",
                *("wait", "--health-check", "--address", temporal_server.address),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            codes.append(await process.wait())

    await asyncio.gather(check(), check())
    figure("exit codes of 100 health checks", {code: codes.count(code) for code in set(codes)})
    assert codes == [0] * 100


def test_a_health_check_is_one_attempt() -> None:
    """Against nothing: exit 1, soon."""
    began = time.monotonic()
    code, output = run_runner("wait", "--health-check", "--address", f"127.0.0.1:{free_port()}")
    assert code == 1
    assert time.monotonic() - began < 10
    assert "connection refused" in output


def test_wait_becomes_the_command_once_temporal_is_ready(
    own_temporal_server: TemporalServer, figure: Figure, start_runner: Callable[..., RunnerProcess]
) -> None:
    """A late Temporal is waited for without an end, and seen at once though delays are long."""
    slow = {"TEMPORAL_ADDRESS": own_temporal_server.address}
    python = ("-c", "import os; print('the command runs as', os.getpid())")
    process = start_runner("wait", "--timeout", "none", "--", sys.executable, *python, env=slow)
    process.wait_for("attempt 4 failed")
    assert "the command runs" not in process.output
    own_temporal_server.start()
    serving_at = own_temporal_server.wait_serving()
    assert process.wait() == 0, process.output
    figure("the command's end after the server serves", f"{time.monotonic() - serving_at:.2f}s")
    assert f"the command runs as {process.pid}" in process.output, "it is no process of its own"


def test_wait_knows_its_own_arguments_from_the_commands(temporal_server: TemporalServer) -> None:
    """What follows -- is the command's, options too; there may be no config before it."""
    ours = ("wait", "--address", temporal_server.address, "--timeout", "60s")
    code, output = run_runner(*ours, "--", "printf", "%s|", "--timeout", "soon", "--")
    assert code == 0, output
    assert "--timeout|soon|--|" in output
    code, output = run_runner(*ours, "--", "no-such-command")
    assert code == 2
    assert "error: no-such-command: No such file or directory" in output


def test_wait_goes_on_as_the_runner(
    own_temporal_server: TemporalServer,
    write_config: WriteConfig,
    start_runner: Callable[..., RunnerProcess],
    figure: Figure,
) -> None:
    """`runner start` is loaded while Temporal is waited for, and is ready at once then."""
    address = own_temporal_server.address
    config = worker_config(write_config, address)
    process = start_runner("wait", config, "--timeout", "none", "--", "runner", "start", config)
    process.wait_for("attempt 1 failed")
    own_temporal_server.start()
    own_temporal_server.wait_serving()
    began = time.monotonic()
    process.wait_for("ready: config.yaml")
    figure("the runner is ready after the server serves", f"{time.monotonic() - began:.2f}s")
    assert process.stop() == 0, process.output


def test_wait_tells_of_a_mistake_of_the_runners_config_first(write_config: WriteConfig) -> None:
    """Not when Temporal is there at last."""
    wrong = write_config("workers: {one: {task_queu: q}}\n", name="wrong.yaml")
    ours = ("wait", "--address", f"127.0.0.1:{free_port()}", "--timeout", "none")
    code, output = run_runner(*ours, "--", "runner", "start", wrong)
    assert code == 2, output
    assert "did you mean task_queue?" in output
    assert "attempt" not in output


def test_wait_logs_as_the_config_says(write_config: WriteConfig) -> None:
    """One container has one kind of log, from before Temporal is there to its end."""
    config = write_config("log: {format: json}\ntemporal: {address: 127.0.0.1:1}\n")
    code, output = run_runner("wait", config, "--timeout", "1s")
    assert code == 1
    first = json.loads(output.splitlines()[0])
    assert "attempt 1 failed, transient ConnectionRefused" in first["message"]


def test_wait_ends_at_sigterm(start_runner: Callable[..., RunnerProcess]) -> None:
    """With a shell's exit code for it, also as a container's first process."""
    process = start_runner("wait", "--address", f"127.0.0.1:{free_port()}", "--timeout", "none")
    process.wait_for("attempt 2 failed")
    assert process.stop(within=10) == 128 + signal.SIGTERM


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted by /proc")
@pytest.mark.parametrize(("set_to", "threads"), [(None, 1), ("3", 3)])
def test_the_sdk_works_with_one_thread(set_to: str | None, threads: int) -> None:
    """Unless the environment says otherwise; processes that are started later see none of it."""
    code = """if True:
        import os, time
        from temporal_runner.runtime.connection.target import quiet_runtime

        def named_so():
            threads = os.listdir("/proc/self/task")
            names = [open(f"/proc/self/task/{one}/comm").read() for one in threads]
            return sum(name.startswith("tokio") for name in names)

        before = os.environ.get("TOKIO_WORKER_THREADS")
        runtime = quiet_runtime()
        until = time.monotonic() + 10
        while named_so() < THREADS and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)  # one too many would be here by now
        assert os.environ.get("TOKIO_WORKER_THREADS") == before
        print(named_so())
    """.replace("THREADS", str(threads))
    environment = {**os.environ, **({"TOKIO_WORKER_THREADS": set_to} if set_to else {})}
    if not set_to:
        environment.pop("TOKIO_WORKER_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(threads)]
