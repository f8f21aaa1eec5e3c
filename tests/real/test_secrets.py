"""No secret that a config can hold reaches an output, an endpoint, a file or a workflow's history.

Secrets are planted in every place that the models have for one, the runner is taken through its
failures, and all that came out is searched. A field for a secret that is new fails the first test
until something is planted there.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from temporalio.client import Client

from temporal_runner.config.load import load
from temporal_runner.config.problems import ConfigError
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from tests.fuzz.targets import sign
from tests.real.echoes import echoing_cloud, echoing_grpc
from tests.real.impostors import Authority, forward_to, serving, web_server
from tests.real.planting import Plants, places
from tests.support import ROOT, RunnerProcess, TemporalServer, free_port, http, run_runner

StartRunner = Callable[..., RunnerProcess]
Config = dict[str, Any]
FEW = {"max_attempts": 2, "base_delay": "50ms", "max_delay": "100ms"}
SCHEMES = ("github", "gitlab", "stripe", "slack", "standard_webhooks", "event_grid", "hmac",
           "basic", "api_key", "api_key in the URL", "jwt", "jwt by given keys")  # fmt: skip


class Captured:
    """All that came out, each with where it did."""

    def __init__(self, plants: Plants) -> None:
        self._plants = plants
        self.outputs: dict[str, str | bytes] = {}

    def add(self, where: str, output: object) -> str:
        text = output if isinstance(output, str | bytes) else str(output)
        self.outputs[f"{where} #{len(self.outputs)}"] = text
        return text if isinstance(text, str) else ""

    def check(self) -> None:
        leaks = {
            where: found
            for where, output in self.outputs.items()
            if (found := self._plants.found_in(output))
        }
        shown = [f"{where}:\n{self.outputs[where]!r:.3000}" for where in leaks]
        assert not leaks, f"{leaks}\n" + "\n".join(shown)


@pytest.fixture
def plants(tmp_path: Path) -> Plants:
    return Plants(tmp_path)


@pytest.fixture
def captured(plants: Plants) -> Captured:
    return Captured(plants)


def connection(plants: Plants, section: str, address: str, tls: Config | None = None) -> Config:
    """A connection with a secret in each of its places."""
    certificate, private = (part.decode() for part in Authority().client_pair())
    pair = {
        "client_cert_data": certificate,
        "client_key_data": plants(f"{section}.tls.client_key_data", private),
    }
    return {
        "address": address,
        "api_key": plants(f"{section}.api_key"),
        "grpc_meta": {"x-custom": plants(f"{section}.grpc_meta")},
        "tls": {**pair, **({"disabled": True} if tls is None else tls)},
    }


def verification(plants: Plants, scheme: str) -> Config:
    """A scheme with its secrets."""
    at = f"webhook.verify({scheme.split()[0]})"
    jwt = {"scheme": "jwt", "issuer": "i", "audience": "a"}
    match scheme:
        case "basic":
            user = {"username": "me", "password": plants(f"{at}.users.password")}
            return {"scheme": "basic", "users": [user]}
        case "api_key" | "api_key in the URL":
            where = {"query": "key"} if scheme.endswith("URL") else {}
            return {"scheme": "api_key", "keys": [plants(f"{at}.keys")], **where}
        case "jwt":
            return {**jwt, "algorithms": ["HS256"], "secrets": [plants(f"{at}.secrets")]}
        case "jwt by given keys":
            key = generate_private_key(65537, 2048).public_key()
            pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
            return {
                **jwt,
                "algorithms": ["RS256"],
                "public_keys": [plants(f"{at}.public_keys", pem)],
            }
        case "standard_webhooks":
            text = "whsec_" + base64.b64encode(f"planted-{id(plants)}-standard".encode()).decode()
            secret = plants(f"{at}.secrets", text, only=text.removeprefix("whsec_"))
            return {"scheme": scheme, "secrets": [secret]}
    more = {"hmac": {"header": "X-Sig", "encoding": "base64"}, "event_grid": {"query": "code"}}
    return {"scheme": scheme, "secrets": [plants(f"{at}.secrets")], **more.get(scheme, {})}


EVENT = "${{ event }}"
ROUTES = [
    {"when": 'event.data.what == "lost"', "signal": "add", "id": "nobody", "args": [EVENT]},
    {"when": 'event.data.what.startsWith("wrong")', "start": "Echo", "task_queue": "nobody",
     "id": "${{ event.data.missing }}"},
    {"when": "has(event.data.what)", "start": "Echo", "task_queue": "nobody",
     "args": [EVENT], "memo": {"all": EVENT}},
]  # fmt: skip


def webhooks(plants: Plants, folder: Path, port: int) -> Config:
    """A listener for each scheme; one has an inbox."""
    return {
        scheme.replace(" ", "-"): {
            "source": "webhook",
            "options": {
                "port": port,
                "path": f"/{scheme.replace(' ', '-')}",
                "verify": verification(plants, scheme),
            },
            "routes": ROUTES,
            **({"inbox": {"path": str(folder / "inbox.db")}} if scheme == "hmac" else {}),
        }
        for scheme in SCHEMES
    }


def clouds(plants: Plants, url: str) -> Config:
    """Queues whose sign-in is refused."""
    route = [{"start": "Echo", "task_queue": "nobody"}]
    key = base64.b64encode(b"planted-account-key-of-many-bytes").decode()
    account = f"AccountName=acct;QueueEndpoint={url}/acct;BlobEndpoint={url}/acct"
    signature = "planted%2Bsignature%2Bof%2Bmany%2Bbytes%3D"
    shared = f"SharedAccessSignature=sv=2024-01-01&sp=r&sig={signature}"
    string = "azure.connection_string"
    azure: dict[str, Config] = {
        "azure-key": {
            "connection_string": plants(string, f"AccountKey={key};{account}", only=key),
        },
        "azure-shared": {
            "connection_string": plants(string, f"{shared};{account}", only=signature),
        },
        "azure-broken": {"connection_string": plants(string)},
        "azure-sas": {"account": "acct", "sas": plants("azure.sas"), "endpoint_suffix": "invalid"},
        "azure-account-key": {
            "account": "acct",
            "account_key": plants("azure.account_key"),
            "endpoint_suffix": "invalid",
        },
    }
    role = {
        "role_arn": "arn:aws:iam::123456789012:role/reader",
        "external_id": plants("s3.assume_role.external_id"),
        "sts_endpoint_url": url,
    }
    s3: dict[str, Config] = {
        "s3": {"queue_url": f"{url}/1/q", "endpoint_url": url, "region": "eu-central-1"},
        "s3-list": {"mode": "list", "bucket": "b", "endpoint_url": url, "region": "eu-central-1"},
        "s3-role": {"queue_url": f"{url}/1/r", "region": "eu-central-1", "assume_role": role},
    }
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        plants.in_environment(name)
    plants.environ |= {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_EC2_METADATA_DISABLED": "true"}
    return {
        **{
            name: {"source": "azure", "options": {"queue": f"q-{name}", **options}, "routes": route}
            for name, options in azure.items()
        },
        **{
            name: {"source": "s3", "options": options, "routes": route}
            for name, options in s3.items()
        },
    }


def write(folder: Path, name: str, config: Config) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False, width=10_000))
    return file


def planted_everywhere(plants: Plants, folder: Path, url: str = "http://127.0.0.1:1") -> Config:
    """A config with a secret wherever there is room for one."""
    return {
        "temporal": connection(plants, "temporal", "127.0.0.1:1"),
        "connections": {"more": connection(plants, "connections", "127.0.0.1:1")},
        "listeners": {**webhooks(plants, folder, 8080), **clouds(plants, url)},
    }


def test_a_secret_is_planted_in_every_place_that_the_models_have(
    plants: Plants, tmp_path: Path
) -> None:
    """A new field for a secret is in none of these tests until it is planted here."""
    planted_everywhere(plants, tmp_path)
    assert places() - plants.texts.keys() == set()
    assert len(places()) >= 21


def spoilt(text: str) -> Iterator[str]:
    """A config with one of its lines about a secret wrong, in each way of being wrong."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        key, colon, value = line.partition(":")
        if not colon or not re.search(r"planted|from_|/secret-", line, re.IGNORECASE):
            continue
        for wrong in (
            f"{key}x:{value}",
            f"{line}: x",
            f"{key}: [{value.strip()}]",
            f"{key}: {{a: {value.strip()}}}",
            f"{line}\n{line}",
            f'{key}: "{value.strip()}',
            f"{key}: !secret{value}",
            f"{line} ${{",
        ):
            yield "\n".join([*lines[:index], wrong, *lines[index + 1 :]])


def test_no_error_of_a_config_shows_a_secret(
    plants: Plants, captured: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of a config full of secrets, spoilt in each way, before and after its secret."""
    config = planted_everywhere(plants, tmp_path)
    in_url = plants("a URL", "planted-in-a-url", only="planted-in-a-url")
    assert in_url
    config["listeners"]["s3"]["options"]["queue_url"] = "https://me:planted-in-a-url@host/q"
    config["listeners"]["s3-list"]["options"]["endpoint_url"] = "https://planted-in-a-url@host/"
    config["connections"]["more"]["address"] = "me:planted-in-a-url@host:7233"
    for name, value in plants.environ.items():
        monkeypatch.setenv(name, value)
    catalog = Catalog.installed()
    text = yaml.safe_dump(config, sort_keys=False, width=10_000)
    file = tmp_path / "spoilt.yaml"
    errors = 0
    for wrong in [text, *spoilt(text)]:
        file.write_text(wrong)
        try:
            plan = make_plan(load(file), catalog)
        except ConfigError as error:
            errors += 1
            captured.add("error", error)
        else:
            captured.add("warnings", "\n".join(map(str, plan.warnings)))
            captured.add("plan", plan)
    assert errors > 100
    captured.check()


async def test_no_secret_leaves_a_runner_that_cannot_connect(
    plants: Plants,
    captured: Captured,
    tmp_path: Path,
    temporal_server: TemporalServer,
) -> None:
    """Down, no Temporal, TLS to plaintext, plaintext to TLS, a wrong authority, a refused key."""
    authority = Authority()
    name = {"server_ca_cert_data": Authority().pem.decode()}

    async def start(where: str, address: str, tls: Config | None, expected: str) -> None:
        config = {
            "temporal": connection(plants, "temporal", address, tls),
            "import_paths": [str(ROOT)],
            "workers": {"echo": {"task_queue": "q", "workflows": ["tests.real.flows:Echo"]}},
            "retry": FEW,
            "restart": FEW,
            "log": {"level": "debug", "format": "json" if len(captured.outputs) % 2 else "text"},
        }
        file = write(tmp_path, f"temporal-{len(captured.outputs)}", config)
        code, output = await asyncio.to_thread(run_runner, "start", file, env=plants.environ)
        captured.add(where, output)
        assert code == 1, output
        assert expected in output, output

    await start("down", f"127.0.0.1:{free_port()}", None, "connection refused")
    await start("TLS to plaintext", temporal_server.address, {}, "the server does not")
    async with serving(web_server) as address:
        await start("web server", address, None, "gave up after 2 attempts")
    async with serving(echoing_grpc) as address:
        await start("refused key", address, None, "this is not a good key")
    tls = authority.server_context("127.0.0.1")
    async with serving(forward_to(temporal_server.address), tls) as address:
        await start("plaintext to TLS", address, None, "speaks TLS, and this client does not")
        await start("wrong authority", address, name, "certificate is not trusted")
    broken = tmp_path / "profile.toml"
    broken.write_text('[profile.default]\napi_key = "planted-in-toml\n')
    plants("a profile", "planted-in-toml")
    config = {"temporal": {"config_file": str(broken)}, "listeners": {}}
    code, output = await asyncio.to_thread(run_runner, "wait", write(tmp_path, "toml", config))
    captured.add("broken profile", output)
    assert code == 2
    assert "line 2" in output
    captured.check()


def test_no_secret_leaves_sources_whose_sign_in_is_refused(
    plants: Plants,
    captured: Captured,
    tmp_path: Path,
    temporal_server: TemporalServer,
    start_runner: StartRunner,
) -> None:
    """AWS and Azure refuse, and repeat the request in their errors; others cannot be reached."""
    runners = {}
    with echoing_cloud() as url:
        for name, listener in clouds(plants, url).items():
            config = {
                "temporal": {"address": temporal_server.address},
                "listeners": {name: {**listener, "retry": FEW}},
                "restart": FEW,
                "dead_letters": {"path": str(tmp_path / "letters.db")},
                "log": {"level": "debug", "format": "json" if "s3" in name else "text"},
            }
            file = write(tmp_path, name, config)
            runners[name] = start_runner("start", file, env=plants.environ)
        for name, runner in runners.items():
            assert runner.wait(within=120) in (1, 2), runner.output
            captured.add(name, runner.output)
    outputs = "".join(map(str, captured.outputs.values()))
    assert "AccessDenied" in outputs
    assert "***" in outputs, "what the servers repeated was starred out"
    captured.check()


async def test_no_secret_leaves_a_runner_at_work(
    plants: Plants,
    captured: Captured,
    tmp_path: Path,
    temporal_server: TemporalServer,
    client: Client,
    start_runner: StartRunner,
) -> None:
    """Good and bad proofs, accepted and rejected events: answers, endpoints, files, histories."""
    port, admin = free_port(), free_port()
    listeners = webhooks(plants, tmp_path, port)
    config = {
        "temporal": connection(plants, "temporal", temporal_server.address),
        "listeners": listeners,
        "dead_letters": {"path": str(tmp_path / "letters.db")},
        "admin": {"port": admin},
        "log": {"level": "debug", "format": "json"},
    }
    file = write(tmp_path, "runner", config)
    runner = start_runner("start", file, env=plants.environ)
    await asyncio.to_thread(runner.wait_for, "ready:")
    started = await asyncio.to_thread(_send_to_all, plants, captured, port)
    for path in ("livez", "readyz", "status", "nothing"):
        captured.add(path, http("GET", f"http://127.0.0.1:{admin}/{path}").body)
    assert len(started) == len(SCHEMES) - 2, "one has an inbox, one cannot be proved"
    for workflow_id in started:
        handle = client.get_workflow_handle(workflow_id)
        events = [event async for event in handle.fetch_history_events()]
        captured.add("history", "\n".join(map(str, events)))
        captured.add("description", (await handle.describe()).raw_description)
        await handle.terminate()

    def command(*arguments: object) -> str:
        _, output = run_runner(*arguments, env=plants.environ)
        return captured.add(" ".join(map(str, arguments)), output)

    listed = await asyncio.to_thread(command, "dead-letters", "list", file, "--json")
    letters = [json.loads(line) for line in listed.splitlines()]
    assert len(letters) >= 2 * (len(SCHEMES) - 1), listed
    ids = [letter["id"] for letter in letters]
    event = tmp_path / "event.json"
    event.write_text(json.dumps(letters[0]["event"]))
    for arguments in (
        ("dead-letters", "list", file),
        ("dead-letters", "show", file, *ids),
        ("dead-letters", "replay", file, "--all"),
        ("events", "send", file, letters[0]["listener"], event, "--dry-run"),
        ("events", "send", file, letters[0]["listener"], event),
        ("validate", file),
        ("schema",),
        ("plugins",),
    ):
        await asyncio.to_thread(command, *arguments)
    assert await asyncio.to_thread(runner.stop) == 0
    captured.add("log", runner.output)
    _read_files(captured, tmp_path)
    assert "rejected" in runner.output
    captured.check()


def _read_files(captured: Captured, folder: Path) -> None:
    files = list(folder.glob("*.db*"))
    assert {"letters.db", "inbox.db"} <= {file.name for file in files}
    for file in files:
        captured.add(file.name, file.read_bytes())


def _send_to_all(plants: Plants, captured: Captured, port: int) -> list[str]:
    """Send to each listener with a good proof, a wrong one and none; the workflows started."""
    started = []
    for scheme in SCHEMES:
        at = f"webhook.verify({scheme.split()[0]})"
        if scheme == "jwt by given keys":
            continue  # what is planted is a public key: it proves nothing
        secrets = [
            secret
            for place, texts in plants.texts.items()
            if place.startswith(at) and "public" not in place
            for secret in texts
        ]
        secret = secrets[scheme == "api_key in the URL"]
        key = base64.b64decode(secret).decode() if scheme == "standard_webhooks" else secret
        for what in ("good", "lost", "wrong", "good but not proved", "good, wrong proof"):
            body = json.dumps({"what": what, "id": f"evt-{scheme}-{what}"}).encode()
            if scheme == "event_grid":
                data = {"id": what, "topic": "t", "eventType": "e", "data": {"what": what}}
                body = json.dumps([data]).encode()
            headers = {"content-type": "application/json", "x-github-event": "push",
                       "x-github-delivery": what, "x-gitlab-event": "e",
                       "idempotency-key": what, "webhook-id": what}  # fmt: skip
            query = b""
            if what != "good but not proved":
                query = sign(scheme, b"", headers, body, key)
            if what == "good, wrong proof":
                body += b" "
                query = query[:-2]
                for name in ("x-gitlab-token", "authorization", "x-api-key"):
                    headers[name] = headers.get(name, "")[:-2]
            url = f"http://127.0.0.1:{port}/{scheme.replace(' ', '-')}?{query.decode()}"
            answer = http("POST", url, body, **headers)
            captured.add(f"answer {scheme} {what}", f"{answer.body} {answer.headers}")
            inbox = scheme == "hmac"
            expected = {"good": 202, "lost": 202 if inbox else 422, "wrong": 422}.get(what, 401)
            assert answer.status == expected, (scheme, what, answer)
            if what == "good" and not inbox:
                started.append(answer.json()["workflow_id"])
    return started
