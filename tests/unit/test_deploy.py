"""What can be known of `deploy/` without running it: names that exist, images pinned, nobody root, no secrets."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trailhook.cli import main as cli
from trailhook.settings import PREFIX, Settings
from trailhook.telemetry import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and "secrets" not in path.parts)
YAML = [path for path in FILES if path.suffix in (".yaml", ".yml") and path.parent.name != "aws"]
"""CloudFormation's is a YAML of its own: see `test_aws_templates`."""
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "trailhook.json"
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+[a-z0-9.-]*")
SECRET = re.compile(r"th_[a-z2-7]{20,}|whsec_|A[KS]IA[A-Z0-9]{12,}|:[A-Za-z0-9+/]{43}=|://[^\s/@:]+:[^\s/@]+@(?!HOST)")


def documents(path: Path) -> list[Any]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]


def compose() -> Any:
    return documents(DEPLOY / "compose.yaml")[0]


def kubernetes(kind: str) -> list[Any]:
    found = [each for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for each in documents(path)]
    return [each for each in found if each.get("kind") == kind]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile, an instruction each, lines that go on joined."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in lines]


# ------------------------------------------------------------------------------------------------------ every file


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_every_yaml_file_parses(path: Path) -> None:
    assert documents(path)


def test_every_setting_named_exists() -> None:
    known = {PREFIX + each.name.upper() for each in dataclasses.fields(Settings)}
    named = {
        name.removesuffix("_FILE")
        for path in FILES
        for name in re.findall(r"TRAILHOOK_[A-Z_]+[A-Z](?![A-Z_…])", path.read_text())
    }
    assert len(named) > 5
    assert named - {"TRAILHOOK_API_PORT"} <= known, "that one is Kubernetes', told of as a trap"


def test_no_secret_is_in_any_file() -> None:
    assert SECRET.search("redis://:x@h mongodb://user:password@host")
    assert [(path.name, found[0]) for path in FILES if (found := SECRET.search(path.read_text()))] == []


def test_every_command_run_exists() -> None:
    commands = {each.name or each.callback.__name__ for each in cli.app.registered_commands if each.callback}
    run = {service["command"][0] for name, service in compose()["services"].items() if name in OURS}
    run |= {container["args"][0] for container in containers()}
    assert run == {"api", "worker"}
    assert run | {"serve"} <= commands


# ------------------------------------------------------------------------------------------------------ Dockerfile


def test_the_dockerfile_builds_on_a_pinned_base() -> None:
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert len(bases) == 2
    assert all(PINNED.fullmatch(base) for base in bases)


def test_the_image_runs_as_nobody_in_particular() -> None:
    (user,) = [rest for name, rest in instructions() if name == "USER"]
    uid, _, gid = user.partition(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000


def test_the_image_installs_locked_hashed_wheels_only() -> None:
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    locked = [each for each in installs if "-r requirements/run.txt" in each]
    assert len(locked) == 1
    assert "--require-hashes" in locked[0]
    assert "--only-binary :all:" in locked[0]
    assert all("--no-deps --no-build-isolation" in each for each in installs if each not in locked)


def test_the_image_says_whether_it_is_well() -> None:
    (check,) = [rest for name, rest in instructions() if name == "HEALTHCHECK"]
    command = json.loads(check.partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert f"127.0.0.1:{Settings().port}/readyz" in command[2]


def test_the_dockerfile_fetches_nothing_else_and_is_given_no_secret() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert not re.search(r"^(ADD|ARG)|curl|wget|apt-get|sudo|latest", text, re.MULTILINE)
    copied = {word for name, rest in instructions() if name == "COPY" for word in rest.split()[:-1]}
    ignored_but = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    assert {each for each in copied if not each.startswith(("--", "/"))} == ignored_but


# --------------------------------------------------------------------------------------------------------- compose

OURS = ("api", "worker-1", "worker-2")


def test_every_image_is_pinned() -> None:
    images = {service["image"] for service in compose()["services"].values()}
    assert len(images) == 5
    assert [image for image in images if not PINNED.fullmatch(image)] == []


@pytest.mark.parametrize("name", OURS)
def test_our_services_can_write_nowhere_and_gain_nothing(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    port = Settings().port if name == "api" else Settings().worker_port
    assert f":{port}/readyz" in service["healthcheck"]["test"][-1]


def test_every_service_that_stays_has_a_health_check_and_comes_back() -> None:
    staying = {name: each for name, each in compose()["services"].items() if name != "mongodb-init"}
    assert [name for name, each in staying.items() if "healthcheck" not in each] == []
    assert {each["restart"] for each in staying.values()} == {"unless-stopped"}


def test_what_has_no_password_is_reached_from_inside_only() -> None:
    document = compose()
    assert document["networks"]["inside"] == {"internal": True}
    for name in ("mongodb", "mongodb-init", "redis", "prometheus"):
        assert document["services"][name]["networks"] == ["inside"]
        assert "ports" not in document["services"][name]
    ports = [port for service in document["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_names_only_what_it_defines_and_files_that_exist() -> None:
    document = compose()
    for service in document["services"].values():
        assert set(service.get("secrets", ())) <= set(document["secrets"])
        assert set(service.get("networks", ())) <= set(document["networks"])
        assert set(service.get("depends_on", ())) <= set(document["services"])
        for source, _, _ in (volume.partition(":") for volume in service.get("volumes", ())):
            assert (DEPLOY / source).exists() if source.startswith("./") else source in document["volumes"]
    assert {each["file"].partition("secrets/")[0] for each in document["secrets"].values()} == {"./"}
    assert "secrets/" in (DEPLOY / ".gitignore").read_text().splitlines()


# ------------------------------------------------------------------------------------------------------ Kubernetes


def pods() -> Iterator[Any]:
    for deployment in kubernetes("Deployment"):
        yield deployment["spec"]["template"]["spec"]


def containers() -> list[Any]:
    return [container for pod in pods() for container in pod["containers"]]


def test_the_kustomization_lists_every_manifest_but_the_secret() -> None:
    (kustomization,) = kubernetes("Kustomization")
    others = {"kustomization.yaml", "secret.example.yaml", "prometheus-adapter-values.yaml", "secret.yaml"}
    manifests = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert set(kustomization["resources"]) == manifests - others
    (image,) = kustomization["images"]
    assert {container["image"] for container in containers()} == {image["name"]}
    assert PINNED.fullmatch(f"{image['newName']}:{image['newTag']}")


def test_no_pod_is_given_names_that_would_be_refused_as_settings() -> None:
    assert [pod["enableServiceLinks"] for pod in pods()] == [False, False]


def test_pods_are_not_root_and_can_write_nowhere_but_scratch() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert all("emptyDir" in volumes[name] for name in writable)


def test_containers_have_probes_and_resources() -> None:
    for container in containers():
        assert "readinessProbe" in container
        assert {"cpu", "memory"} == set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    ports = {container["name"]: container["ports"][0]["containerPort"] for container in containers()}
    assert ports == {"api": Settings().port, "worker": Settings().worker_port}


def test_secrets_come_as_files_that_the_example_names_without_values() -> None:
    (secret,) = kubernetes("Secret")
    assert set(secret["stringData"].values()) == {""}
    for container in containers():
        files = {each["name"]: Path(each["value"]) for each in container["env"]}
        assert {path.name for path in files.values()} <= set(secret["stringData"])
        assert all(
            name.removeprefix(PREFIX) == f"{path.name.upper().replace('-', '_')}_FILE" for name, path in files.items()
        )


def test_every_selector_finds_the_pods_it_means() -> None:
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in kubernetes("Deployment")
    }
    for each in kubernetes("Deployment"):
        assert each["spec"]["selector"]["matchLabels"] == labels[each["metadata"]["name"]]
    for each in kubernetes("PodDisruptionBudget"):
        assert each["spec"]["selector"]["matchLabels"] == labels[each["metadata"]["name"]]
    for each in kubernetes("Service"):
        assert each["spec"]["selector"] == labels[each["metadata"]["name"]]


def test_workers_scale_on_the_depth_of_the_queue() -> None:
    (autoscaler,) = kubernetes("HorizontalPodAutoscaler")
    names = {each["metadata"]["name"] for each in kubernetes("Deployment")}
    assert autoscaler["spec"]["scaleTargetRef"]["name"] in names
    (metric,) = autoscaler["spec"]["metrics"]
    (rule,) = documents(DEPLOY / "kubernetes" / "prometheus-adapter-values.yaml")[0]["rules"]["external"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"] == "trailhook_queue_jobs"
    (worker,) = [each for each in kubernetes("Deployment") if each["metadata"]["name"] == "trailhook-worker"]
    assert "replicas" not in worker["spec"], "it would undo what the autoscaler did at every apply"


# --------------------------------------------------------------------------------------------- what is looked at


def series() -> dict[str, set[str]]:
    """Every series that /metrics can hold, with its labels."""
    metrics = Metrics()
    metrics.events("s", "read", 1)
    metrics.attempt("s", "delivered", 0.1)
    metrics.object("s", "done")
    metrics.aws_request("GetObject", "ok")
    metrics.notice(1, "sent")
    seconds = {"s": 1.0}
    metrics.set_gauges(
        statuses={"s": "active"},
        lags_s=seconds,
        behind_s=seconds,
        jobs={"waiting": 1},
        silent={"s": 1},
        overdue_s=seconds,
    )
    found: dict[str, set[str]] = {}
    for line in metrics.text().decode().splitlines():
        if match := re.match(r"([a-z_]+)(?:\{(.*?)\})? ", line):
            found.setdefault(match[1], set()).update(re.findall(r"(\w+)=\"", match[2] or ""))
    return found


def queries() -> Iterator[str]:
    for rule in documents(DEPLOY / "prometheus" / "alerts.yml")[0]["groups"][0]["rules"]:
        yield rule["expr"]
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def test_every_query_asks_for_series_and_labels_that_exist() -> None:
    known = series()
    asked = list(queries())
    assert len(asked) > 20
    for query in asked:
        names = re.findall(r"\btrailhook_[a-z_]+", query)
        assert names or query == 'up{job="trailhook"} == 0'
        assert set(names) <= set(known), query
        filtered = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", query)) - {"job"}
        grouped = {each.strip() for group in re.findall(r"by \(([^)]*)\)", query) for each in group.split(",")}
        assert filtered | grouped <= {label for name in names for label in known[name]}, query


def test_every_metric_is_on_the_dashboard() -> None:
    told = {name.removesuffix("_bucket") for name in series() if not name.endswith(("_count", "_sum"))}
    text = DASHBOARD.read_text()
    assert {name for name in told if name not in text} == set()


def test_panels_do_not_overlap_and_can_be_told_apart() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    rules = documents(DEPLOY / "prometheus" / "alerts.yml")[0]["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert {"summary", "description"} == set(rule["annotations"])
        assert rule["labels"]["severity"] in ("warning", "critical")
