"""Reaching a Ray cluster, or starting one on this machine, quietly and in bounded time."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from litellm_benchrouter.errors import ConfigError, EngineError

OWN = "local"
"""The address of a cluster that is started here and ended with the engine."""

_REACHED_SECONDS = 3.0
_ANSWERED_SECONDS = 60.0
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_DECIDING = ("litellm-benchrouter", "numpy", "scipy", "scikit-learn", "polars")


def settle_environment(address: str | None) -> None:
    """Say what Ray reads when it is imported: no usage statistics, and a token of its own.

    A cluster of our own listens on all of the machine's addresses, and whoever reaches it could run
    code there; so it asks for a token that only this process and its workers know.
    """
    if "ray" in sys.modules:  # the program that calls us decides
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_SCHEDULER_EVENTS", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # it warns, otherwise
    if _address(address) == OWN and "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def connect(address: str | None) -> bool:
    """Join the cluster at an address, or start one; return whether it is ours to leave.

    Raises ConfigError where it is no address of a cluster, and EngineError where nothing answers
    there.
    """
    import ray

    if ray.is_initialized():  # by the program that calls us, which also ends it
        return False
    address = _address(address)
    if "://" in address:
        raise ConfigError(
            f"the Ray address {address} is one of Ray's client; run the command on a machine of "
            f"the cluster, with --ray-address auto or HOST:PORT."
        )
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == OWN:
        settings |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        settings |= {"num_cpus": len(os.sched_getaffinity(0))}
    elif address != "auto":
        _reach(address)
    try:
        ray.init(address=address, **settings)
    except (OSError, RuntimeError, ValueError) as error:  # ConnectionError is an OSError
        why = str(error)
        if "AuthToken" in f"{error} {error.__cause__}":
            why = "it asks for a token; set RAY_AUTH_MODE=token here, too"
        raise EngineError(_unreachable(address, why)) from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    return True


def cpus() -> float:
    """Return the number of processors of the cluster."""
    import ray

    return float(ray.cluster_resources().get("CPU", 1.0))


def resource_of_this_machine() -> str | None:
    """Return the resource that keeps work on this machine; None where it has no processors."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == own)
    return f"node:{node['NodeManagerAddress']}" if node["Resources"].get("CPU") else None


def check_workers() -> None:
    """See that every machine of the cluster has the libraries that this one has.

    Raises EngineError where one has not, or does not answer in a minute.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = ray.remote(installed)
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    on = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    answers = [asked.options(num_cpus=0, scheduling_strategy=there).remote() for there in on]
    here = installed()
    for node, answer in zip(nodes, answers, strict=True):
        name = node["NodeManagerHostname"]
        try:
            there = ray.get(answer, timeout=_ANSWERED_SECONDS)
        except ray.exceptions.GetTimeoutError as error:
            raise EngineError(
                f"the Ray worker on {name} did not answer in {_ANSWERED_SECONDS:.0f} s; see that "
                f"the cluster starts workers, or take the engine local."
            ) from error
        except ray.exceptions.RayError as error:
            raise EngineError(
                f"the Ray worker on {name} cannot run litellm-benchrouter; install version "
                f"{here['litellm-benchrouter']} there, with what this machine has."
            ) from error
        other = [
            f"{key} {there[key]} and not {here[key]}" for key in here if there[key] != here[key]
        ]
        if other:
            raise EngineError(
                f"the Ray worker on {name} has {', '.join(other)}; install the same versions "
                f"there, or its results would differ."
            )


def installed() -> dict[str, str]:
    """Return the versions that decide about results, and the BLAS kernels of this processor."""
    import numpy  # noqa: F401  # loads the BLAS library
    from threadpoolctl import threadpool_info

    versions = {"python": platform.python_version()}
    for name in _DECIDING:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "none"
    kernels = {
        f"{library['internal_api']} {library.get('architecture', '')}".strip()
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }
    return versions | {"BLAS kernels": ", ".join(sorted(kernels)) or "none"}


def _address(given: str | None) -> str:
    return given or os.environ.get("RAY_ADDRESS") or OWN


def _reach(address: str) -> None:
    """See whether a gRPC server answers; Ray itself would ask for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"the Ray address {address!r} is none; give HOST:PORT, auto, or local.")
    try:
        with socket.create_connection((host, int(port)), timeout=_REACHED_SECONDS) as connection:
            connection.sendall(_GREETING)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise EngineError(_unreachable(address, str(error))) from error
    if answer[3:4] != b"\x04":  # a frame of settings, as gRPC servers begin
        raise EngineError(_unreachable(address, "what listens there is not Ray"))


def _unreachable(address: str, why: str) -> str:
    reason = next((line for line in why.splitlines() if line), "no reason given").rstrip(".")
    return (
        f"no Ray cluster can be had at {address} ({reason}); start one with `ray start --head`, "
        f"mend --ray-address or RAY_ADDRESS, or leave both out for one of its own."
    )
