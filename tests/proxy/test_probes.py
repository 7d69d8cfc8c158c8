"""What deploy/ asks a proxy to know whether it lives: a real proxy answers it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import yaml

from proxy.harness import ProxyProcess

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_probes_of_kubernetes_are_answered_without_a_key(routed: ProxyProcess) -> None:
    deployment = next(yaml.safe_load_all((DEPLOY / "kubernetes" / "proxy.yaml").read_text()))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        answer = httpx.get(routed.base_url + path, timeout=60, trust_env=False)
        assert answer.status_code == 200, path


def test_the_healthcheck_of_the_image_tells_a_proxy_from_none(routed: ProxyProcess) -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    [written] = re.findall(r"^HEALTHCHECK.*\\\n\s+CMD (\[.*\])$", dockerfile, re.MULTILINE)
    python, *arguments = yaml.safe_load(written)
    assert python == "python"
    port = urlsplit(routed.base_url).port

    def check(port: object) -> int:
        command = [sys.executable, *(each.replace("4000", str(port)) for each in arguments)]
        # A proxy for outgoing requests must not be asked.
        env = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        return subprocess.run(command, env=env, capture_output=True, check=False).returncode

    assert check(port) == 0
    assert check(9) != 0
