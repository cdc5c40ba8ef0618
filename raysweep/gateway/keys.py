"""The real keys of model APIs: read in the runner when an attempt needs one, never stored anywhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from raysweep.config.apis import ModelApi
from raysweep.errors import bad_input


def read_key(name: str, api: ModelApi, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key of the API `name`, None where it needs none; InputError where it is not to be had here."""
    if api.key_env is not None:
        key = environment.get(api.key_env, "").strip()
        if not key:
            raise bad_input(
                f"the environment variable {api.key_env} is empty or not set",
                "export it before the run; on a cluster, name the Secret that has it in `cluster.keys`",
                key=f"apis.{name}.key_env",
            )
        return key
    if api.key_file is None:
        return None
    try:
        return Path(api.key_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise bad_input(
            f"cannot be read: {reason}", "mount the secret there on every runner", file=api.key_file,
            key=f"apis.{name}.key_file",
        ) from None  # fmt: skip
