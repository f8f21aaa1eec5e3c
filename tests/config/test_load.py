"""Files to one tree: overlays, variables, paths, and the places of what is wrong in each."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from temporal_runner.config.load import load
from temporal_runner.config.problems import ConfigError
from tests.config.reading import WORKER, found, fresh_imports, read, write_flows  # noqa: F401
from tests.conftest import WriteConfig


def broken(path: Path) -> str:
    """The message of a file that cannot be read at all."""
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    """A config that is not there is named."""
    assert broken(tmp_path / "prod.yaml") == f"there is no config file {tmp_path / 'prod.yaml'}"


def test_a_folder_and_bytes_are_no_config(tmp_path: Path) -> None:
    """What cannot be read as text says why."""
    assert "Is a directory" in broken(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("a: größe".encode("latin-1"))
    assert "it is not UTF-8 text" in broken(tmp_path / "latin.yaml")


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "5\n"])
def test_a_config_is_a_mapping(write_config: WriteConfig, text: str) -> None:
    """A list or a scalar is no config."""
    assert found(write_config(text)) == ["1:1 a config is a mapping (key: value)"]


def test_empty_file_and_null(write_config: WriteConfig) -> None:
    """An empty file says that it is."""
    assert found(write_config("\n# nothing yet\n")) == ["1:1 the file is empty"]


def test_byte_order_mark(write_config: WriteConfig) -> None:
    """A byte order mark, as some editors write it, moves nothing."""
    assert found(write_config("\ufefflog: {levl: info}\n")) == [
        "1:7 log.levl: unknown option; did you mean level?"
    ]


def test_nothing_to_run(write_config: WriteConfig) -> None:
    """A config without workers and listeners is an error, not a runner that does nothing."""
    assert found(write_config("log: {level: info}")) == [
        "1:1 there is nothing to run: add workers, listeners or both"
    ]


# Overlays. ----------------------------------------------------------------------------------------


def test_an_overlay_changes_one_key_of_one_worker(write_config: WriteConfig) -> None:
    """Mappings merge at any depth; everything else replaces."""
    write_config(
        """
        retry: {base_delay: 1s, max_delay: 9s}
        workers:
          a: {task_queue: a, workflows: [m:W, m:V], max_concurrent_activities: 5}
          b: {task_queue: b, workflows: [m:W]}
        """,
        "base.yaml",
    )
    settings = read(
        write_config(
            """
            extends: base.yaml
            retry: {max_delay: 3s}
            workers:
              a: {max_concurrent_activities: 7, workflows: [m:X]}
              c: {task_queue: c, workflows: [m:W]}
            """
        )
    ).settings
    assert list(settings.workers) == ["a", "b", "c"]
    assert settings.workers["a"].max_concurrent_activities == 7
    assert settings.workers["a"].workflows == ("m:X",)
    assert settings.workers["a"].task_queue == "a"
    assert settings.retry.base_delay == timedelta(seconds=1)
    assert settings.retry.max_delay == timedelta(seconds=3)


def test_null_removes_what_is_inherited(write_config: WriteConfig) -> None:
    """`name: null` in an overlay removes a worker; a null section removes them all."""
    write_config(WORKER + "listeners: {l: {source: webhook, routes: [{start: X}]}}", "base.yaml")
    overlay = write_config("extends: base.yaml\nworkers: {orders: null}\nlisteners: null\n")
    settings = read(overlay).settings
    assert settings.workers == {}
    assert settings.listeners == {}


def test_what_an_overlay_replaces_needs_no_variable(write_config: WriteConfig) -> None:
    """Only what is left of a base has to be there: its variables may be another environment's."""
    write_config(
        WORKER
        + """
temporal: {address: "${PROD:?its address}", namespace: "${TEAM:?whose?}"}
listeners: {l: {source: webhook, options: {port: "${PORT:?which?}"}, routes: [{start: X}]}}
shutdown_timeout: ${UNSET}
""",
        "base.yaml",
    )
    overlay = write_config(
        """
        extends: base.yaml
        temporal: {address: "localhost:1"}
        listeners: {l: null}
        shutdown_timeout: 3s
        """
    )
    found = read(overlay)
    assert found.settings.shutdown_timeout == timedelta(seconds=3)
    assert [problem.message for problem in found.problems] == [
        "the environment variable TEAM is not set: whose?"
    ]


def test_a_list_of_bases(write_config: WriteConfig) -> None:
    """Of several bases a later one lies over an earlier, and the file over all of them."""
    write_config("log: {level: debug, format: json}\nshutdown_timeout: 1s", "one.yaml")
    write_config("log: {level: error}\nshutdown_timeout: 2s", "two.yaml")
    settings = read(write_config("extends: [one.yaml, two.yaml]\nshutdown_timeout: 3s")).settings
    assert (settings.log.level, settings.log.format) == ("error", "json")
    assert settings.shutdown_timeout == timedelta(seconds=3)


def test_extends_may_hold_a_variable(write_config: WriteConfig) -> None:
    """Which file is extended may come from the environment."""
    write_config("log: {level: debug}", "base.yaml")
    config = write_config("extends: ${BASE:-other}.yaml\n")
    assert read(config, {"BASE": "base"}).settings.log.level == "debug"


def test_a_circle_of_files(write_config: WriteConfig) -> None:
    """Files that extend one another in a circle are named in their order."""
    write_config("extends: prod.yaml\n", "base.yaml")
    assert (
        found(write_config("log: {}\nextends: base.yaml\n", "prod.yaml"))
        == [
            (
                "base.yaml:1:10 extends: the files extend in a circle:"
                " prod.yaml -> base.yaml -> prod.yaml"
            ),
            "1:1 there is nothing to run: add workers, listeners or both",
        ][:1]
    )


def test_two_ways_to_one_base_are_no_circle(write_config: WriteConfig) -> None:
    """A diamond of overlays is fine, and reports the shared base's fault once."""
    write_config("log: {levle: info}", "base.yaml")
    write_config("extends: base.yaml", "a.yaml")
    write_config("extends: base.yaml", "b.yaml")
    assert found(write_config("extends: [a.yaml, b.yaml]")) == [
        "base.yaml:1:7 log.levle: unknown option; did you mean level?"
    ]


@pytest.mark.parametrize(
    ("extends", "problem"),
    [
        ("nobody.yaml", "1:10 extends: there is no file {folder}/nobody.yaml"),
        ("[5]", "1:11 extends: must be a file's path, or a list"),
        ("{a: b}", "1:10 extends: must be a file's path, or a list"),
        ("${BASE:?name one}", "1:10 the environment variable BASE is not set: name one"),
        ('"a\\0b"', "1:10 extends: there is no file {folder}/a\0b"),
    ],
)
def test_wrong_extends(
    write_config: WriteConfig, tmp_path: Path, extends: str, problem: str
) -> None:
    """A base that cannot be had is reported once, where it is named."""
    write_flows(tmp_path)
    found_problems = found(write_config(f"extends: {extends}\n{WORKER}"))
    assert found_problems == [problem.format(folder=tmp_path)]


def test_all_errors_of_all_files_at_once(write_config: WriteConfig, tmp_path: Path) -> None:
    """Files, sections and stages do not hide each other's errors: one run shows them all."""
    write_flows(tmp_path)
    write_config(
        """
        retry: {base_dely: 1s, max_delay: 3}
        workers:
          broken: {task_queue: a, workflows: [shop_flows:Nothing]}
        """,
        "base.yaml",
    )
    config = write_config(
        """\
        extends: base.yaml
        temporal: {address: localhost, namespace: "${NAMESPACE:?which?}"}
        workers:
          orders: {task_queu: orders, workflows: [shop_flows:FulfilOrder]}
        listeners:
          hook:
            source: webhok
            routes: [{start: X, task_queue: q}]
          shop:
            source: webhook
            options: {prot: 1, verify: {scheme: none}}
            routes:
              - when: event.type =
                start: FulfilOrder
        """
    )
    assert [line.split(" (known")[0] for line in found(config)] == [
        "base.yaml:2:9 retry.base_dely: unknown option; did you mean base_delay?",
        (
            "base.yaml:2:35 retry.max_delay: a duration has a number and a unit,"
            " such as 500ms, 30s, 10m or 1h30m"
        ),
        "base.yaml:4:39 workers.broken.workflows[0]: there is no 'Nothing' in shop_flows",
        "2:21 temporal.address: must be host:port, such as localhost:7233",
        "2:43 the environment variable NAMESPACE is not set: which?",
        "4:12 workers.orders.task_queu: unknown option; did you mean task_queue?",
        ("7:13 listeners.hook.source: unknown event source 'webhok'; did you mean webhook?"),
        "11:15 listeners.shop.options.prot: unknown option; did you mean port?",
        (
            "13:15 listeners.shop.routes[0].when: not a CEL expression: token recognition error at:"
            " '=' (at its character 12); CEL writes == for equal"
        ),
    ]


# Variables. ---------------------------------------------------------------------------------------


def test_variables_become_what_the_schema_wants(write_config: WriteConfig) -> None:
    """A number or a yes-or-no may come from the environment; a text stays a text."""
    text = """
        admin: {port: "${PORT}"}
        temporal: {namespace: "${NUMBER}"}
        workers:
          w:
            task_queue: "${NUMBER}"
            workflows: [m:W]
            sandbox: ${SANDBOX}
            max_activities_per_second: ${RATE:-1.5}
    """
    environ = {"PORT": "8000", "NUMBER": "12", "SANDBOX": "false"}
    settings = read(write_config(text), environ).settings
    assert settings.admin is not None
    assert settings.admin.port == 8000
    assert settings.temporal.namespace == "12"
    worker = settings.workers["w"]
    assert (worker.task_queue, worker.sandbox, worker.max_activities_per_second) == (
        "12",
        False,
        1.5,
    )


def test_quoted_numbers_stay_texts(write_config: WriteConfig) -> None:
    """Only the environment's values are converted: a number in quotes is a mistake."""
    assert found(write_config("admin: {port: '8000'}")) == [
        "1:15 admin.port: must be a whole number"
    ]


def test_wrong_values_of_variables(write_config: WriteConfig) -> None:
    """The message names the variable and not its value."""
    problems = found(write_config("admin: {port: '${PORT}'}"), {"PORT": "hunter2"})
    assert problems == ["1:15 admin.port: must be a whole number (it comes from ${PORT})"]


def test_unset_variables_warn(write_config: WriteConfig, tmp_path: Path) -> None:
    """A variable without a default that is unset is empty, with a warning at its place."""
    write_flows(tmp_path)
    config = write_config(WORKER + "    identity: w-${HOST_NAME}\n")
    assert found(config) == [
        "6:15 warning: the environment variable HOST_NAME is not set, so it is empty here"
    ]


def test_variables_are_in_values_only(write_config: WriteConfig) -> None:
    """A key is not substituted."""
    assert found(write_config("${A}: {}"), {"A": "log"})[0].startswith("1:1 ${A}: unknown option")


def test_aliases_are_substituted_once(write_config: WriteConfig) -> None:
    """What an alias repeats is substituted in each place, and only once."""
    text = "x: &q '${A}'\n"
    text = "temporal: {namespace: &q '${A}'}\nconnections: {b: {namespace: *q, address: 'h:1'}}\n"
    settings = read(write_config(text), {"A": "${B}"}).settings
    assert settings.temporal.namespace == "${B}"
    assert settings.connections["b"].namespace == "${B}"


# Paths. -------------------------------------------------------------------------------------------


def test_paths_are_relative_to_their_own_file(write_config: WriteConfig, tmp_path: Path) -> None:
    """A path means the same whichever file extends the one that it is written in."""
    write_config(
        """
        import_paths: [flows]
        plugins: [./plugin.py]
        temporal: {tls: {server_ca_cert_path: ca.pem}, dev_server: {database_path: t.db}}
        """,
        "shared/base.yaml",
    )
    loaded = read(write_config("extends: shared/base.yaml\ntemporal: {config_file: ../x.toml}"))
    settings = loaded.settings
    assert settings.import_paths == (f"{tmp_path}/shared/flows",)
    assert settings.plugins == (f"{tmp_path}/shared/plugin.py",)
    assert settings.temporal.tls is not None
    assert settings.temporal.tls.server_ca_cert_path == tmp_path / "shared/ca.pem"
    assert settings.temporal.dev_server is not None
    assert settings.temporal.dev_server.database_path == tmp_path / "shared/t.db"
    assert settings.temporal.config_file == tmp_path.parent / "x.toml"


def test_what_a_route_hands_over_is_no_path(write_config: WriteConfig) -> None:
    """A workflow's argument that looks like a path is left as it is."""
    text = """
        listeners:
          l: {source: s, routes: [{start: X, args: [{data_file: a.csv}], memo: {log_path: x}}]}
    """
    (route,) = read(write_config(text)).settings.listeners["l"].routes
    assert route.args == ({"data_file": "a.csv"},)


def test_home_folders(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home folder; that of an unknown user is a file that is not there."""
    monkeypatch.setenv("HOME", "/home/me")
    text = "import_paths: [~/flows]\nplugins: ['~nobody_here/p.py']\n"
    settings = read(write_config(text)).settings
    assert settings.import_paths == ("/home/me/flows",)
    assert "does not load" in found(write_config(text))[0]
