"""Checks of a cluster that need no pod: reachable, rights, namespace, admission (by dry run), nodes, images."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

from raysweep.apiserver import Api, ApiError, config_maps, nodes, pods
from raysweep.sandbox.kubernetes.bounds import alterations
from raysweep.sandbox.kubernetes.capacity import Room, at_once, extremes, rooms, too_large, unreachable
from raysweep.sandbox.kubernetes.pod import Binding, Json, PodOptions, pod_manifest
from raysweep.sandbox.kubernetes.session import APPLY
from raysweep.sandbox.protocol import Check, Planned, SandboxSpec

REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RIGHTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): ("create", "get", "list", "watch", "delete"),
    ("", "pods/exec"): ("get", "create"),
    ("", "pods/log"): ("get",),
    ("", "events"): ("list", "watch"),
    ("", "configmaps"): ("create", "get", "update", "delete"),
    ("coordination.k8s.io", "leases"): ("create", "get", "list", "update", "delete"),
    ("", "limitranges"): ("list",),
    ("", "resourcequotas"): ("list",),
    ("", "nodes"): ("get", "list", "watch"),
}
"""(API group, resource) to verbs; nodes in the whole cluster, all else in the sandbox namespace."""

REFUSALS = (
    ("exceeded quota", "raise the ResourceQuota of the namespace, or plan smaller bands"),
    ("PodSecurity", "label the namespace pod-security.kubernetes.io/enforce=baseline, or set `capabilities: strict`"),
    ("usage per", "take the LimitRange of the namespace away, or use a namespace without"),
    ("RuntimeClass", "correct sandbox.runtime_class: `kubectl get runtimeclass`"),
    ("PriorityClass", "correct sandbox.priority_class: `kubectl get priorityclass`"),
    ("webhook", "the webhook that refuses them must let raysweep's pods pass"),
)
"""Part of the API server's message to what helps."""

ANSWER_S = 10.0
"""How long an API server that does not answer is waited for."""

SHOWN = 3
"""Problems of one kind that a line names; the rest is counted."""


async def cluster_check(api: Api) -> Check:
    """Whether the API server answers us."""
    try:
        version = (await api.get("/version", patience=ANSWER_S))["gitVersion"]
    except ApiError as error:
        remedy = "see that `kubectl version` answers with the same kubeconfig (sandbox.context names another)"
        return Check("cluster", ok=False, found=f"the API server does not answer: {error}", remedy=remedy)
    return Check("cluster", ok=True, found=f"Kubernetes {version}")


async def rights_check(api: Api, namespace: str) -> Check:
    """Every verb that a run needs, asked of the API server."""
    wanted = [(group, resource, verb) for (group, resource), verbs in RIGHTS.items() for verb in verbs]
    try:
        allowed = await asyncio.gather(*(_may(api, namespace, *one) for one in wanted))
    except ApiError as error:
        return Check("rights", ok=False, found=f"cannot be asked for: {error}", remedy=f"`{APPLY}`")
    missing = [f"{verb} {resource}" for (_, resource, verb), ok in zip(wanted, allowed, strict=True) if not ok]
    found = f"missing: {', '.join(missing)}" if missing else f"all {len(wanted)} that a run needs"
    return Check("rights", not missing, found, f"`{APPLY}`, and use its account" if missing else "")


async def _may(api: Api, namespace: str, group: str, resource: str, verb: str) -> bool:
    name, _, sub = resource.partition("/")
    attributes = {"group": group, "resource": name, "subresource": sub, "verb": verb}
    if resource != "nodes":
        attributes["namespace"] = namespace
    review = await api.create(REVIEW, {"spec": {"resourceAttributes": attributes}})
    return bool(review["status"]["allowed"])


async def namespace_check(api: Api, namespace: str) -> Check:
    """Whether the namespace is there, by a creation that stores nothing."""
    try:
        await api.create(config_maps(namespace), {"metadata": {"name": "raysweep-doctor"}}, dry_run=True)
    except ApiError as error:
        found = f"there is no namespace {namespace}" if error.status == 404 else str(error)
        return Check("namespace", ok=False, found=found, remedy=f"`{APPLY}` (or set sandbox.namespace)")
    return Check("namespace", ok=True, found=namespace)


async def admission_check(api: Api, options: PodOptions, specs: Sequence[SandboxSpec]) -> Check:
    """Server-side dry run of the largest and smallest planned pods: refused, or changed by admission, is a failure."""
    chosen = extremes(specs)
    binding = Binding(runner="doctor", token="0" * 32, config_map="raysweep-supervisor", deadline_s=60.0)
    problems: list[tuple[str, str]] = []
    for spec in chosen:
        manifest = pod_manifest(spec, options, binding)
        who = f"{spec.labels.get('task', spec.name)} in {spec.labels.get('band', 'no band')}"
        try:
            admitted = await api.create(pods(options.namespace), manifest, dry_run=True)
        except ApiError as error:
            problems.append((f"{who}: {error.message}", refusal_remedy(error)))
        else:
            remedy = (
                f"a LimitRange or webhook changes pods: `kubectl describe limitrange -n {options.namespace}`, and take "
                "it away, or use a namespace without"
            )
            problems += [(f"{who}: {line}", remedy) for line in alterations(manifest, admitted)]
    if not problems:
        return Check("admission", ok=True, found=f"{len(chosen)} pods of the plan are admitted as they are (dry run)")
    remedies = " | ".join(dict.fromkeys(remedy for _, remedy in problems))
    return Check("admission", ok=False, found=shortened([said for said, _ in problems]), remedy=remedies)


def refusal_remedy(error: ApiError) -> str:
    """What helps against a pod that the API server refuses."""
    return next((remedy for word, remedy in REFUSALS if word.lower() in error.message.lower()), "see the message")


async def node_checks(api: Api, options: PodOptions, planned: Planned, *, allow_unreachable: bool) -> list[Check]:
    """Whether nodes can hold the planned requests and give the planned limits, and are all alike."""
    try:
        listed, _ = await api.collect(nodes(), patience=10.0)
        others, everywhere = await _all_pods(api, options.namespace)
    except ApiError as error:
        return [Check("nodes", ok=False, found=f"cannot be read: {error}", remedy=f"`{APPLY}`")]
    kinds: dict[tuple[tuple[str, str], ...], list[SandboxSpec]] = {}
    for spec in planned.specs:
        kinds.setdefault(tuple(sorted(spec.node_selector.items())), []).append(spec)
    checks: list[Check] = []
    for selector, specs in (kinds or {(): []}).items():
        chosen = replace(options, node_selector={**options.node_selector, **dict(selector)})
        part = replace(planned, specs=specs)
        judged = _on_nodes(listed, others, part, chosen, everywhere=everywhere, allow_unreachable=allow_unreachable)
        checks += [replace(c, found=f"{_labels(selector)}: {c.found}") if len(kinds) > 1 else c for c in judged]
    return checks


def _labels(selector: Sequence[tuple[str, str]]) -> str:
    return " ".join(f"{key}={value}" for key, value in selector) or "any node"


def _on_nodes(
    listed: Sequence[Json],
    others: Sequence[Json],
    planned: Planned,
    options: PodOptions,
    *,
    everywhere: bool,
    allow_unreachable: bool,
) -> Iterator[Check]:
    """What the nodes that `options` select can do for the planned sandboxes."""
    node_rooms = rooms(listed, others, options)
    if not node_rooms:
        remedy = "see sandbox.node_selector, factors.node_type and tolerations; an autoscaler may still add one"
        said = f"none of {len(listed)} is Ready, selected and tolerated now"
        yield Check("nodes", ok=False, found=said, remedy=remedy, required=False)
        return
    yield from _judged(node_rooms, planned, options, everywhere=everywhere, allow_unreachable=allow_unreachable)


def _judged(
    node_rooms: Sequence[Room],
    planned: Planned,
    options: PodOptions,
    *,
    everywhere: bool,
    allow_unreachable: bool,
) -> Iterator[Check]:
    machines = sorted({room.machine for room in node_rooms})
    alike = len(machines) == 1
    yield Check(
        "nodes",
        alike,
        f"{len(node_rooms)} of type {', '.join(machines)}",
        "" if alike else "select one machine type by sandbox.node_selector: the type is part of the treatment",
        required=False,
    )
    specs = planned.specs
    if not specs:
        return
    seen = "" if everywhere else " (pods of other namespaces may not be listed and are not counted)"
    yield from _fits(specs, node_rooms, seen)
    if not list(too_large(specs, node_rooms)):
        yield _together(at_once(specs, node_rooms, exclusive=options.tenancy == "exclusive"), planned.concurrency)
    yield from _reachable(specs, node_rooms, seen, required=not allow_unreachable)
    yield _images(node_rooms, {spec.image or options.image for spec in specs}, options)


def _fits(specs: Sequence[SandboxSpec], node_rooms: Sequence[Room], seen: str) -> Iterator[Check]:
    """Nodes that are too small are refused; nodes that are full now are a note: pods wait for `start_timeout`."""
    never = list(too_large(specs, [room.emptied() for room in node_rooms]))
    now = [] if never else list(too_large(specs, node_rooms))
    if now:
        wait = "pods wait for `sandbox.start_timeout`; raise it where other pods take longer than that"
        yield Check("requests", ok=False, found=f"full now: {shortened(now)}{seen}", remedy=wait, required=False)
        return
    said = (shortened(never) if never else "every planned request fits a node") + seen
    remedy = "use larger nodes, or lower the request of the band" if never else ""
    yield Check("requests", ok=not never, found=said, remedy=remedy)


def _reachable(
    specs: Sequence[SandboxSpec], node_rooms: Sequence[Room], seen: str, *, required: bool
) -> Iterator[Check]:
    """The same for finite limits: beyond a whole node they are refused, beyond what is free now they are a note."""
    never = list(unreachable(specs, [room.emptied() for room in node_rooms]))
    now = [] if never else list(unreachable(specs, node_rooms))
    if now:
        wait = "such a limit is out of reach while other pods use the node; wait until they have ended"
        yield Check("limits", ok=False, found=f"now: {shortened(now)}{seen}", remedy=wait, required=False)
        return
    remedy = "use larger nodes or lower bands (`none` where no limit is meant), or set sandbox.allow_unreachable_limits"
    said = (shortened(never) if never else "every finite limit can be reached") + seen
    yield Check("limits", ok=not never, found=said, remedy=remedy if never else "", required=required)


def _together(room: int, concurrency: int) -> Check:
    """More sandboxes than fit are no failure by themselves: they wait, but only as long as the start time-out."""
    enough = room >= concurrency
    return Check(
        "concurrency",
        enough,
        f"the nodes hold {room} sandboxes of the largest request at once, {concurrency} are planned",
        "" if enough else "lower runner.concurrency, or raise sandbox.start_timeout above what a trial takes",
        required=False,
    )


async def _all_pods(api: Api, namespace: str) -> tuple[list[dict[str, object]], bool]:
    """All pods of the cluster where our account may list them, else those of the namespace; and which of the two."""
    try:
        return (await api.collect("/api/v1/pods", patience=10.0))[0], True
    except ApiError as error:
        if error.status != 403:
            raise
    return (await api.collect(pods(namespace), patience=10.0))[0], False


def _images(node_rooms: Sequence[Room], wanted: set[str], options: PodOptions) -> Check:
    """Which planned images are on the nodes already; missing ones are a failure only where nothing is pulled."""
    absent = sorted(name for name in wanted if not all(has_image(room, name) for room in node_rooms))
    if not absent:
        return Check("images", ok=True, found=f"all {len(wanted)} are on every node")
    never = options.pull == "never"
    said = f"{len(absent)} of {len(wanted)} are not on every node: {shortened(absent)}"
    remedy = (
        "load them onto the nodes, or set `pull: missing`" if never else "they are pulled; pre-pull for even starts"
    )
    sure = never and all(room.images_complete for room in node_rooms)
    return Check("images", ok=False, found=said, remedy=remedy, required=sure)


def has_image(room: Room, name: str) -> bool:
    """Whether a node lists an image under this name or the full name that it stands for."""
    tagged = name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"
    first = tagged.partition("/")[0]
    if "/" not in tagged:
        full = f"docker.io/library/{tagged}"
    elif "." in first or ":" in first or first == "localhost":
        full = tagged
    else:
        full = f"docker.io/{tagged}"
    return bool({tagged, full} & room.images)


def shortened(lines: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f" (and {len(lines) - SHOWN} more)" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more
