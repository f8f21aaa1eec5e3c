"""The manifests of deploy/kubernetes: valid by the API's own schema, and with what they promise."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from temporal_runner.config.load import load
from temporal_runner.plan import make_plan
from temporal_runner.plugin.catalog import Catalog
from tests.deploy.settings import ENVIRONMENT, PARTS
from tests.support import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
BASE = FOLDER / "base"
BUILDS = [BASE, *sorted((FOLDER / "overlays").iterdir())]
VERSION = "1.31"
"""The oldest Kubernetes that is supported at the time of writing."""
Manifest = dict[str, Any]


def documents(text: str) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(text) if one]


def resources() -> list[Path]:
    """The files that the base names."""
    (kustomization,) = documents((BASE / "kustomization.yaml").read_text())
    return [BASE / name for name in kustomization["resources"]]


def built(folder: Path) -> list[Manifest]:
    """What `kubectl apply -k` would send; without kubectl and kustomize, the base by our own."""
    if kustomize := shutil.which("kustomize"):
        command = [kustomize, "build"]
    elif kubectl := shutil.which("kubectl"):
        command = [kubectl, "kustomize"]
    elif folder == BASE:
        return assembled()
    else:
        pytest.skip("neither kubectl nor kustomize is here: overlays are not tested")
    done = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def assembled() -> list[Manifest]:
    """The base's files, with pod.yaml over those that have pods."""
    manifests = [one for file in resources() for one in documents(file.read_text())]
    (pod,) = documents((BASE / "pod.yaml").read_text())
    for workload in workloads(manifests).values():
        workload["spec"] = laid_over(workload["spec"], pod["spec"])
    return manifests


def laid_over(base: Any, over: Any) -> Any:
    """Mappings merge, and so do lists of things with a name; everything else replaces."""
    if isinstance(base, dict) and isinstance(over, dict):
        both = {key: laid_over(base[key], over[key]) for key in base.keys() & over.keys()}
        return {**base, **over, **both}
    if isinstance(base, list) and isinstance(over, list) and "name" in base[0]:
        named = [{one["name"]: one for one in entries} for entries in (base, over)]
        return list(laid_over(*named).values())
    return over


def workloads(manifests: list[Manifest]) -> dict[str, Manifest]:
    kinds = {"Deployment", "StatefulSet"}
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] in kinds}


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] == kind]


def container(workload: Manifest) -> Manifest:
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def name(folder: Path) -> str:
    return folder.name


@pytest.mark.parametrize("file", resources(), ids=name)
def test_each_file_is_valid_by_the_schema(file: Path) -> None:
    """Strictly: a field that the API does not know is an error."""
    for manifest in documents(file.read_text()):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_the_base_names_all_its_files() -> None:
    """A file that no kustomization names would never be applied."""
    assert {*resources(), BASE / "kustomization.yaml", BASE / "pod.yaml"} == set(BASE.iterdir())


@pytest.mark.parametrize("folder", BUILDS, ids=name)
def test_each_build_is_valid_by_the_schema(folder: Path) -> None:
    """The base by itself and each overlay, with everything laid over it."""
    manifests = built(folder)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    assert set(workloads(manifests)) == set(PARTS)


def test_without_kustomize_the_base_is_the_same_to_these_tests() -> None:
    """What is read where kubectl is missing has the same pods."""
    ours, theirs = workloads(assembled()), workloads(built(BASE))
    for part in PARTS:
        pods = [container(one[part]) for one in (ours, theirs)]
        for pod in pods:
            del pod["envFrom"]  # kustomize puts a hash into the name
            for entries in (pod["env"], pod["ports"]):
                entries.sort(key=lambda one: one["name"])
        assert pods[0] == pods[1]


@pytest.mark.parametrize("folder", BUILDS, ids=name)
def test_each_pod_is_probed_drained_and_confined(folder: Path) -> None:
    """Live is the loop, ready is the work; a stop has the drain's time; nothing runs as root."""
    drain = load(ROOT / "configs/prod.yaml", ENVIRONMENT).settings.shutdown_timeout
    for workload in workloads(built(folder)).values():
        spec, runner = workload["spec"]["template"]["spec"], container(workload)
        assert runner["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert runner["readinessProbe"]["httpGet"]["path"] == "/readyz"
        pause = runner.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [0])
        assert spec["terminationGracePeriodSeconds"] > drain.total_seconds() + int(pause[-1])
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == 10001
        assert runner["securityContext"]["readOnlyRootFilesystem"]
        assert runner["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in runner["volumeMounts"]}
        assert set(mounts) == {"/tmp", "/var/lib/runner"}
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = {one["name"] for one in spec["volumes"]}
        assert set(mounts.values()) == volumes | {claim["metadata"]["name"] for claim in claims}


@pytest.mark.parametrize("folder", BUILDS, ids=name)
def test_what_must_outlive_a_pod_is_on_a_volume_of_its_own(folder: Path) -> None:
    """The inbox, the index, and rejected events that no queue keeps."""
    kinds = {part: one["kind"] for part, one in workloads(built(folder)).items()}
    stateful = {part for part, kind in kinds.items() if kind == "StatefulSet"}
    assert stateful == {"webhook-listener", "document-processing-worker", "s3-event-listener"}


@pytest.mark.parametrize("folder", BUILDS, ids=name)
def test_selectors_find_their_pods_and_no_others(folder: Path) -> None:
    """A service, a disruption budget and an autoscaler for what is there."""
    manifests = built(folder)
    pods = {
        part: one["spec"]["template"]["metadata"]["labels"]
        for part, one in workloads(manifests).items()
    }

    def found(selector: dict[str, str]) -> list[str]:
        return [part for part, labels in pods.items() if selector.items() <= labels.items()]

    budgets = of_kind(manifests, "PodDisruptionBudget")
    assert {
        one["metadata"]["name"]: found(one["spec"]["selector"]["matchLabels"]) for one in budgets
    } == {part: [part] for part in PARTS}
    for service in of_kind(manifests, "Service"):
        (part,) = found(service["spec"]["selector"])
        ports = {port["name"] for port in container(workloads(manifests)[part])["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler")
    scaled = workloads(manifests)[scaler["spec"]["scaleTargetRef"]["name"]]
    assert scaled["kind"] == scaler["spec"]["scaleTargetRef"]["kind"]
    assert "replicas" not in scaled["spec"], "each apply would undo what the autoscaler did"
    assert "cpu" in container(scaled)["resources"]["requests"], "nothing to take a share of"


@pytest.mark.parametrize("folder", BUILDS[1:], ids=name)
def test_each_pod_has_what_its_part_of_the_config_asks_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variables that its container gets, and those alone, its config makes a plan."""
    manifests = built(folder)
    (values,) = [one["data"] for one in of_kind(manifests, "ConfigMap")]
    for part, workload in workloads(manifests).items():
        runner = container(workload)
        secrets = {
            one["name"]: ENVIRONMENT[one["name"]]
            for one in runner["env"]
            if not one["valueFrom"]["secretKeyRef"].get("optional")
        }
        start, config, only, one = runner["args"]
        assert (start, config, only, one) == ("start", "$(RUNNER_CONFIG)", "--only", PARTS[part])
        with monkeypatch.context() as patched:
            for known in ENVIRONMENT:
                patched.delenv(known, raising=False)
            for key, value in {**values, **secrets}.items():
                patched.setenv(key, value)
            plan = make_plan(load(ROOT / values["RUNNER_CONFIG"]), Catalog.installed(), [one])
        assert len(plan.workers) + len(plan.listeners) == 1


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.yaml")), ids=name)
def test_no_secret_is_in_a_file(file: Path) -> None:
    """Secrets are named, and made elsewhere."""
    for manifest in documents(file.read_text()):
        assert manifest["kind"] != "Secret"
        assert "secretGenerator" not in manifest
    text = file.read_text()
    for secret in ("AccountKey=", "AWS_SECRET_ACCESS_KEY", "WEBHOOK_SECRET=", "API_KEY="):
        assert secret not in text
