"""mini-swe-agent as an agent: its own loop, in a thread of the runner; its commands in the sandbox of the trial.

Model calls go through the gateway, whole and not as streams: taking streams apart costs its client library a hundred
times the cpu. Retries are made here, where the end of the agent's time cuts them short; the gateway records each call.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
import os
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raysweep.errors import SandboxError
from raysweep.gateway import ModelAccess
from raysweep.record.evidence import AgentFacts
from raysweep.sandbox.protocol import Sandbox
from raysweep.tasks.model import Task

T = TypeVar("T")
EXTRA = "raysweep[mini-swe]"
RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
_OWN_LIMITS = frozenset({400, 402, 404, 413, 422})
"""Statuses by which a call ends the agent's work without anybody's fault: too much context, its money bound."""


class Options(BaseModel):
    """Options of the agent in a sweep."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    """Model as the API names it."""
    config: str = "mini.yaml"
    """One of mini-swe-agent's own configurations, for its prompts."""
    step_limit: int = Field(0, ge=0)
    """Most model calls of a trial, 0 for no bound."""
    command_timeout_s: float = Field(60.0, gt=0)
    """Time limit of one command."""
    retries: int = Field(8, ge=0)
    """Further tries of a model call that failed for the API's sake."""
    parameters: dict[str, Any] = {}
    """Parameters of every model call, such as temperature."""


class AbortedError(Exception):
    """The runner ended this agent's time."""


class Bridge:
    """Lets the thread of mini-swe-agent's loop wait for coroutines of the agent's event loop, until `abort`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self._lock = threading.Lock()
        self.aborted = threading.Event()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns; AbortedError once the agent's time is over."""
        with self._lock:
            if self.aborted.is_set():
                coroutine.close()
                raise AbortedError
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            self._waiting.add(future)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise AbortedError from None
        finally:
            self._waiting.discard(future)

    def pause(self, seconds: float) -> None:
        """Sleep; AbortedError at once where the agent's time is over or ends meanwhile."""
        if self.aborted.wait(seconds):
            raise AbortedError

    def abort(self) -> None:
        """The agent's time is over."""
        with self._lock:
            self.aborted.set()
            waiting = list(self._waiting)
        for future in waiting:
            future.cancel()


class SandboxEnvironment:
    """mini-swe-agent's Environment over the sandbox of a trial."""

    def __init__(self, sandbox: Sandbox, bridge: Bridge, cwd: str, timeout_s: float, env: Mapping[str, str]) -> None:
        self.config = {"cwd": cwd, "timeout": timeout_s, "env": dict(env)}
        self._sandbox = sandbox
        self._bridge = bridge
        self._timeout_s = timeout_s
        self._env = dict(env)
        self._cwd = cwd
        self._numbers = itertools.count(1)
        self._uname: dict[str, str] = {}

    def look(self) -> None:
        """Learn what the sandbox is: mini-swe-agent's prompt names its system."""
        script = "uname -s; uname -r; uname -v; uname -m; command -v bash || echo /bin/sh"
        done = self._bridge.wait(self._sandbox.exec("agent-uname", ["/bin/sh", "-c", script], timeout_s=10.0))
        names = ("system", "release", "version", "machine", "shell")
        said = done.stdout.decode(errors="replace").splitlines()
        self._uname = dict.fromkeys(names, "unknown") | dict(zip(names, said, strict=False))

    def execute(self, action: Mapping[str, Any], cwd: str = "") -> dict[str, Any]:
        """Run one command of the model's; both outputs together, as mini-swe-agent's own environments give them."""
        shell = self._uname["shell"] if self._uname.get("shell", "").startswith("/") else "/bin/sh"
        done = self._bridge.wait(
            self._sandbox.exec(
                f"agent-{next(self._numbers)}",
                [shell, "-c", f"exec 2>&1\n{action.get('command', '')}\n"],
                timeout_s=self._timeout_s,
                env=self._env,
                cwd=cwd or self._cwd,
            )
        )
        text = (done.stdout + done.stderr).decode(errors="replace")
        if done.facts.timed_out:
            said = f"An error occurred while executing the command: it timed out after {self._timeout_s:g} seconds"
            return {
                "output": text,
                "returncode": -1,
                "exception_info": said,
                "extra": {"exception_type": "TimeoutExpired"},
            }
        code = done.facts.exit if done.facts.exit is not None else -(done.facts.signal or 1)
        if code == 0:
            _raise_if_submitted(text)
        return {"output": text, "returncode": code, "exception_info": ""}

    def get_template_vars(self, **more: Any) -> dict[str, Any]:
        """What its prompts may name."""
        return {**self.config, **self._uname, **more}

    def serialize(self) -> dict[str, Any]:
        """For the trajectory."""
        return {"info": {"config": {"environment": self.config, "environment_type": "raysweep"}}}


def _raise_if_submitted(text: str) -> None:
    from minisweagent.exceptions import Submitted  # noqa: PLC0415 - an extra

    first, _, rest = text.lstrip().partition("\n")
    if first.strip() == SUBMIT:
        raise Submitted({"role": "exit", "content": rest, "extra": {"exit_status": "Submitted", "submission": rest}})


def _make_model(options: Options, access: ModelAccess, bridge: Bridge, settings: Mapping[str, Any]) -> Any:
    """mini-swe-agent's own model, with its calls sent to the gateway."""
    import litellm  # noqa: PLC0415 - an extra
    from minisweagent.models.litellm_model import LitellmModel  # noqa: PLC0415 - as above
    from minisweagent.models.utils.actions_toolcall import BASH_TOOL  # noqa: PLC0415 - as above

    base = access.base_url + ("/v1" if access.protocol == "openai" else "")

    class GatewayModel(LitellmModel):  # type: ignore[misc, unused-ignore]
        def _query(self, messages: list[dict[str, Any]], **more: Any) -> Any:
            for number in itertools.count():
                if bridge.aborted.is_set():
                    raise AbortedError
                try:
                    return litellm.completion(
                        model=self.config.model_name,
                        messages=messages,
                        tools=[BASH_TOOL],
                        api_base=base,
                        api_key=access.token,
                        num_retries=0,
                        max_retries=0,
                        **(self.config.model_kwargs | more),
                    )
                except Exception as error:
                    if bridge.aborted.is_set():
                        raise AbortedError from error
                    if number >= options.retries or getattr(error, "status_code", 500) not in RETRIED:
                        raise
                    bridge.pause(_pause_s(error, number))
            raise AssertionError("unreachable")

    kept = {k: v for k, v in settings.items() if k not in {"model_name", "model_kwargs"}}
    return GatewayModel(
        model_name=f"{access.protocol}/{options.model}",
        cost_tracking="ignore_errors",
        model_kwargs={**(settings.get("model_kwargs") or {}), **options.parameters},
        **kept,
    )


def _pause_s(error: Exception, number: int) -> float:
    """As the API's Retry-After says, else twice as long each time."""
    response = getattr(getattr(error, "response", None), "headers", None) or {}
    headers = getattr(error, "litellm_response_headers", None) or response  # the response may be one that litellm made
    try:
        return min(LONGEST_WAIT_S, float(headers["retry-after"]))
    except (KeyError, ValueError, TypeError):
        return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**number))


@dataclass(frozen=True, slots=True)
class MiniSwe:
    """mini-swe-agent with one model."""

    options: Options
    kind: str = "mini-swe"
    calls_model: bool = True

    def unfit(self, task: Task) -> str | None:
        """See Agent."""
        return None if task.instruction.strip() else "it has no instruction for a model"

    def warm(self) -> None:
        """See Agent; the imports take seconds."""
        warm()

    async def run(
        self, sandbox: Sandbox, task: Task, *, seed: int, timeout_s: float, api: ModelAccess | None = None
    ) -> AgentFacts:
        """See Agent; the seed plays no part, as most APIs take none."""
        del seed
        if api is None:
            return AgentFacts(error="mini-swe needs a model: its entry in the sweep must name an `api`")
        bridge = Bridge(asyncio.get_running_loop())
        session = _Session(self.options, sandbox, task, api, bridge)
        working = asyncio.ensure_future(asyncio.to_thread(session.work))
        try:
            done, _ = await asyncio.wait({working}, timeout=timeout_s)
        finally:
            bridge.abort()
        if not done:
            working.add_done_callback(lambda task: task.cancelled() or task.exception())
            return session.facts(AgentFacts(timed_out=True))
        return session.facts(working.result())


class _Session:
    """One run of mini-swe-agent's loop; `work` runs in a thread of its own."""

    def __init__(self, options: Options, sandbox: Sandbox, task: Task, api: ModelAccess, bridge: Bridge) -> None:
        self._options = options
        self._sandbox = sandbox
        self._task = task
        self._api = api
        self._bridge = bridge
        self._agent: Any = None

    def work(self) -> AgentFacts:
        warm()
        import yaml  # noqa: PLC0415 - with the extra
        from minisweagent import package_dir  # noqa: PLC0415 - an extra
        from minisweagent.agents.default import DefaultAgent  # noqa: PLC0415 - as above

        config = yaml.safe_load((package_dir / "config" / self._options.config).read_text())
        env = {**(config.get("environment", {}).get("env") or {}), **self._task.env}
        environment = SandboxEnvironment(
            self._sandbox, self._bridge, self._task.workdir, self._options.command_timeout_s, env
        )
        environment.look()
        model = _make_model(self._options, self._api, self._bridge, config.get("model") or {})
        settings = {k: v for k, v in config["agent"].items() if k in ("system_template", "instance_template")}
        self._agent = DefaultAgent(model, environment, **settings, step_limit=self._options.step_limit, cost_limit=0.0)
        try:
            status = str(self._agent.run(self._task.instruction).get("exit_status", ""))
        except (AbortedError, SandboxError):
            raise
        except Exception as error:
            if getattr(error, "status_code", None) in _OWN_LIMITS:
                return AgentFacts(printed=f"ended by {type(error).__name__}: {error}")
            raise
        return AgentFacts(printed=None if status == "Submitted" else f"mini-swe-agent ended with {status}")

    def facts(self, facts: AgentFacts) -> AgentFacts:
        """The facts with the harness and its trajectory so far."""
        from minisweagent import __version__  # noqa: PLC0415 - an extra

        traces = {}
        if self._agent is not None:
            trajectory = json.dumps(self._agent.serialize(), indent=1, default=str)
            traces["trajectory.json"] = trajectory.replace(self._api.token, "<token>").encode()
        return replace(facts, harness=f"mini-swe-agent {__version__}", traces=traces)


_warming = threading.Lock()


def warm() -> None:
    """Import what the agent needs, quietly and without a request to the internet."""
    with _warming:
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
        os.environ["MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT"] = "1"
        if "MSWEA_GLOBAL_CONFIG_DIR" not in os.environ:
            os.environ["MSWEA_GLOBAL_CONFIG_DIR"] = tempfile.mkdtemp(prefix="raysweep-mini-swe-")
        import litellm  # noqa: PLC0415 - an extra
        from minisweagent.models import litellm_model  # noqa: F401, PLC0415 - as above

        litellm.suppress_debug_info = True
        litellm.telemetry = False


def make_mini_swe(options: Mapping[str, object]) -> MiniSwe:
    """The agent `mini-swe`; ValueError for options that it does not take, or where its packages are missing."""
    from importlib.util import find_spec  # noqa: PLC0415 - only here

    if find_spec("minisweagent") is None:
        raise ValueError(f"agent 'mini-swe' needs the package mini-swe-agent; install it with: pip install '{EXTRA}'")
    try:
        return MiniSwe(Options.model_validate(options))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"agent 'mini-swe': option {name!r}: {first['msg'][:1].lower()}{first['msg'][1:]}; "
            f"it takes {', '.join(Options.model_fields)}"
        ) from None
