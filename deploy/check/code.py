"""What the code says: variables, ports, names of servers, deadlines. Nothing is repeated here that can be asked for."""

from __future__ import annotations

import ast
import importlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin

from pydantic import AliasChoices, SecretStr
from pydantic_settings import BaseSettings

from deploy.check.manifests import ROOT

SERVICES = ROOT / "services"
GATEWAY, STUDIO = "gateway", "studio"
# Modules that call other services; `deadlines` knows how long each of them waits. `unknown_callers` holds this list
# against the code.
CALLERS = {
    "vision-index/adapters/embedder.py",
    "copywriter/adapters/embedding_grpc.py",
    "semantic/adapters/analyzer_embedder.py",
    "semantic/adapters/copywriter_namer.py",
    "gateway/adapters/remote.py",
    "embedding/bulk_client.py",
}


def package(service: str) -> str:
    """Import name of a service."""
    return f"{service.replace('-', '_')}_service"


@lru_cache
def services() -> tuple[str, ...]:
    """Every service with settings of its own; the studio is one."""
    return tuple(sorted(path.parents[2].name for path in SERVICES.glob("*/src/*/settings.py")))


@lru_cache
def settings(service: str) -> type[BaseSettings]:
    """A service's settings class."""
    return cast("type[BaseSettings]", importlib.import_module(f"{package(service)}.settings").Settings)


@lru_cache
def variables(service: str) -> Mapping[str, str]:
    """Environment variable to field, for every name that a field is read from."""
    found = {}
    for name, field in settings(service).model_fields.items():
        alias = field.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
        found.update({str(one).upper(): name for one in names})
    return found


def is_secret(service: str, variable: str) -> bool:
    """True where the settings class keeps the variable as a secret."""
    annotation = settings(service).model_fields[variables(service)[variable]].annotation
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return SecretStr in parts


def read(service: str, environment: Mapping[str, str]) -> Any:
    """The settings as a process with this environment, and nothing else, would read them.

    Raises:
        pydantic.ValidationError: A value cannot be read.
    """
    kept = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(environment)
        return settings(service)(_env_file=None)
    finally:
        os.environ.clear()
        os.environ.update(kept)


def address_variable(service: str) -> str:
    """Where a service listens, and where others find it."""
    return f"{service.replace('-', '_').upper()}_ADDR"


def default_port(service: str) -> int:
    """Port of a service, by its settings."""
    field = settings(service).model_fields[address_variable(service).lower()]
    return int(str(field.default).rpartition(":")[2])


def grpc_name(service: str) -> str:
    """Full name of a service's RPC interface, which its health check answers for."""
    snake = service.replace("-", "_")
    module = importlib.import_module(f"jewelry.{snake}.v1.{snake}_pb2")
    (descriptor,) = module.DESCRIPTOR.services_by_name.values()
    return str(descriptor.full_name)


def deadlines(configured: Mapping[str, Any]) -> dict[str, float]:
    """Longest time in seconds that a caller may wait for each service, under these settings."""
    longest = {service: _of_gateway(service) for service in services() if service not in (GATEWAY, STUDIO)}
    index, copywriter, semantic = (configured[name] for name in ("vision-index", "copywriter", "semantic"))
    for_a_picture = importlib.import_module("vision_index_service.adapters.embedder")._BULK_IMAGE_S
    streams = importlib.import_module("embedding_service.bulk_client").Options().stream_seconds
    more = (
        ("embedding", index.embedding_timeout + index.batch_size * for_a_picture),
        ("embedding", streams),
        ("embedding", copywriter.images_check_seconds),
        ("analyzer", max(semantic.semantic_embed_seconds, semantic.semantic_wish_seconds)),
        ("copywriter", semantic.semantic_title_seconds),
    )
    for service, seconds in more:
        longest[service] = max(longest[service], seconds)
    # A request waits as long as the longest of its calls.
    gateway = max(_of_gateway(service) for service in longest)
    return {**longest, GATEWAY: max(gateway, configured[GATEWAY].caption_seconds)}


def _of_gateway(service: str) -> float:
    """Longest deadline that the gateway's client of a service gives: the third argument of its calls."""
    name = f"gateway_service.adapters.{service.replace('-', '_')}"
    module = importlib.import_module(name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    given = [
        node.args[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_ask"
    ]
    # A name that is no constant of the module is an argument, such as the few seconds of `about`.
    seconds = [getattr(module, one.id, 0.0) if isinstance(one, ast.Name) else ast.literal_eval(one) for one in given]
    return float(max(seconds, default=0.0))


def unknown_callers() -> list[str]:
    """Modules that call other services and are not in `CALLERS`, or are and do not."""
    found = set()
    for path in SERVICES.glob("*/src/*/**/*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        knows = any(
            isinstance(node, ast.ImportFrom)
            and node.module == "servicekit"
            and "client" in {n.name for n in node.names}
            for node in nodes
        )
        calls = any(
            isinstance(node, ast.Attribute)
            and node.attr in ("call", "stream")
            and isinstance(node.value, ast.Name)
            and node.value.id == "client"
            for node in nodes
        )
        if knows and calls:
            inside = path.relative_to(SERVICES).parts
            found.add("/".join((inside[0], *inside[3:])))
    return sorted(found ^ CALLERS)
