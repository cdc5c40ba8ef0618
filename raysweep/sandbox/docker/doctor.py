"""Checks of an engine for sandboxes, each with its remedy; the bounds by a container that is really killed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from aiodocker import DockerError

from raysweep.errors import SandboxError, UnsuitableError
from raysweep.sandbox.docker.container import Site
from raysweep.sandbox.docker.endpoint import REMEDY, find_endpoint
from raysweep.sandbox.docker.engine import Engine, engine_facts
from raysweep.sandbox.docker.images import Images, look_up
from raysweep.sandbox.docker.options import DockerOptions
from raysweep.sandbox.docker.probe import probe
from raysweep.sandbox.docker.shape import Shape
from raysweep.sandbox.protocol import Check, Planned
from raysweep.units import GIB, format_bytes


class Examined(Protocol):
    """What the checks need of a provider."""

    @property
    def options(self) -> DockerOptions:
        """The sweep's options."""
        ...

    def shape(self) -> Shape:
        """What is the same for all containers."""
        ...


async def run_checks(provider: Examined, planned: Planned) -> list[Check]:
    """All checks in the order in which they should be mended; later ones are left out where an earlier one fails."""
    options = provider.options
    try:
        url = find_endpoint(options.docker_host)
    except UnsuitableError as error:
        return [Check("engine", ok=False, found=error.missing, remedy=error.remedy)]
    async with Engine(url) as engine:
        try:
            info, version = await engine.info(), await engine.version()
        except (ConnectionError, DockerError) as error:
            return [Check("engine", ok=False, found=f"{url}: {error}", remedy=REMEDY)]
        checks = [engine_check(url, info, version), runtime_check(info, options.docker_runtime)]
        if not all(check.ok for check in checks):
            return checks
        facts = engine_facts(info, version)
        site = Site(url, provider.shape(), Images(options.pull), options.image, facts=facts)
        checks += await _proof(engine, site)
        checks += [await image_check(engine, name, options.pull) for name in images_of(planned, options.image)]
        checks += [disk_check(), machine_check(info, planned)]
        if not planned.specs or any(spec.network for spec in planned.specs):
            checks.append(bridge_check(required=options.require_isolation and bool(planned.specs)))
        return checks


async def _proof(engine: Engine, site: Site) -> list[Check]:
    try:
        return list((await probe(engine, site)).checks)
    except (ConnectionError, DockerError) as error:
        return [Check("container", ok=False, found=str(error), remedy="see the message")]
    except SandboxError as error:
        return [Check("container", ok=False, found=error.detail, remedy="see the message")]


def engine_check(url: str, info: Mapping[str, Any], version: Mapping[str, Any]) -> Check:
    """The engine answers, and runs Linux containers."""
    system = info.get("OSType", "linux")
    found = (
        f"{info.get('ServerVersion')} at {url}, API {version.get('ApiVersion')}, cgroup v{info.get('CgroupVersion')}"
    )
    if system != "linux":
        return Check("engine", ok=False, found=f"{found}, {system} containers", remedy="switch to Linux containers")
    return Check("engine", ok=True, found=found)


def runtime_check(info: Mapping[str, Any], wanted: str | None) -> Check:
    """The OCI runtime that the config names is there."""
    have = sorted(info.get("Runtimes") or {})
    runtime = wanted or info.get("DefaultRuntime") or "the engine's own"
    ok = wanted is None or wanted in have
    found = runtime if ok else f"{wanted} is not among {', '.join(have)}"
    return Check(
        "runtime", ok, found, "" if ok else "add it to the engine's configuration, or leave docker_runtime out"
    )


async def image_check(engine: Engine, name: str, pull: str) -> Check:
    """The image of tasks that need none of their own is there, or will be pulled."""
    try:
        image = await look_up(engine, name)
    except (ConnectionError, SandboxError) as error:
        return Check("image", ok=False, found=f"{name}: {error}", remedy="see the message")
    if image is not None:
        return Check("image", ok=True, found=f"{name} is there ({image.digest[:19]}, {image.architecture})")
    if pull == "never":
        return Check("image", ok=False, found=f"{name} is not there and is never pulled", remedy=f"docker pull {name}")
    return Check("image", ok=True, found=f"{name} is pulled before the first trial", required=False)


def disk_check() -> Check:
    """An engine bounds no disk that could be told from a full one."""
    remedy = "use the kind local as root, or kubernetes, where storage limits matter"
    return Check("disk", ok=False, found="storage limits are not enforced", remedy=remedy, required=False)


def images_of(planned: Planned, default: str) -> list[str]:
    """Images that a sweep uses, those aside that are built; only the default one where nothing is planned."""
    named = {spec.image or default for spec in planned.specs if spec.build_context is None or spec.image}
    return sorted(named) if planned.specs else [default]


def machine_check(info: Mapping[str, Any], planned: Planned) -> Check:
    """What the engine's machine has for all sandboxes together; Docker Desktop gives it a part of the computer.

    A finite limit that is larger than the machine is never reached: its arm would not be what it says.
    """
    memory, cpus = int(info.get("MemTotal") or 0), info.get("NCPU")
    found = f"{memory / GIB:.1f} GiB and {cpus} cpus for all sandboxes together"
    remedy = "give the engine's machine more memory (Docker Desktop: Settings, Resources)"
    largest = max((spec.limit.memory or 0 for spec in planned.specs), default=0)
    if largest > memory:
        return Check("machine", ok=False, found=f"{found}; a band asks for {format_bytes(largest)}", remedy=remedy)
    ok = memory >= 2 * GIB
    return Check("machine", ok, found, "" if ok else remedy, required=False)


def bridge_check(*, required: bool) -> Check:
    """Tasks that ask for network get the engine's bridge, which reaches the computer and its neighbours."""
    return Check(
        "network of tasks that ask for one",
        ok=False,
        found="the engine's bridge: it reaches this computer and its network too",
        remedy="`sandbox: {network: none}` where tasks are not trusted",
        required=required,
    )
