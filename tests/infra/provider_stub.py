"""A Google provider for Terraform that knows every field and makes nothing.

    python -m tests.infra.provider_stub SCHEMA.json terraform plan …

Runs a command with this provider on loopback, so that Terraform itself checks and plans without
network and without an account. Owns the provider's side of Terraform's plugin protocol, version
6; its messages come in the wheel `pyvider`, of which nothing else is used.
"""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import types
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import msgpack

_PACKAGE = "pyvider.protocols.tfprotov6.protobuf"
_TYPES = {
    "number": "number",
    "boolean": "bool",
    "stringList": ["list", "string"],
    "numberList": ["list", "number"],
    "booleanList": ["list", "bool"],
    "stringMap": ["map", "string"],
    "stringListList": ["list", ["list", "string"]],
}
_UNKNOWN = msgpack.ExtType(0, b"\x00")
_TEXTS = ("project", "region", "zone", "credentials", "access_token", "billing_project")


def _message_modules() -> tuple[Any, Any]:
    """The generated modules alone: the package around them wants much more."""
    files = importlib.metadata.files("pyvider") or []
    first = next(Path(str(one.locate())) for one in files if one.name == "tfplugin6_pb2.py")
    parts = _PACKAGE.split(".")
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    loaded = []
    for path in (first, first.with_name("tfplugin6_pb2_grpc.py")):
        name = f"{_PACKAGE}.{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        setattr(sys.modules[_PACKAGE], path.stem, module)
        spec.loader.exec_module(module)
        loaded.append(module)
    return loaded[0], loaded[1]


pb, pb_grpc = _message_modules()


def _block(fields: dict[str, Any], *, top: bool) -> Any:
    made = pb.Schema.Block()
    for name, field in fields["attributes"].items():
        required, computed = field.get("required", False), field.get("computed", False)
        optional = field.get("optional", False) or not (required or computed)
        if top and name == "id":
            required, optional, computed = False, True, True
        kind = json.dumps(_TYPES.get(field["type"], "string")).encode()
        made.attributes.append(
            pb.Schema.Attribute(
                name=name,
                type=kind,
                required=required,
                optional=optional and not required,
                computed=computed and not required,
            )
        )
    for name, inner in fields["blocks"].items():
        nesting = getattr(pb.Schema.NestedBlock, inner["nesting"].upper())
        bounds = {"min_items": inner["min"], "max_items": inner["max"]}
        made.block_types.append(
            pb.Schema.NestedBlock(
                type_name=name,
                block=_block(inner["block"], top=False),
                nesting=nesting,
                **({} if inner["nesting"] == "single" else bounds),
            )
        )
    return made


def _schemas(described: dict[str, Any]) -> dict[str, Any]:
    return {name: pb.Schema(block=_block(one, top=True)) for name, one in described.items()}


def _unpacked(value: Any) -> Any:
    return msgpack.unpackb(value.msgpack, raw=False, strict_map_key=False, ext_hook=msgpack.ExtType)


def _packed(value: Any) -> Any:
    return pb.DynamicValue(msgpack=msgpack.packb(value))


class Provider(pb_grpc.ProviderServicer):  # type: ignore[misc,name-defined]
    """Answers what `validate` and `plan` ask; whatever Google would decide is unknown."""

    def __init__(self, described: dict[str, Any]) -> None:
        self._resources = _schemas(described["resources"])
        self._data = _schemas(described["data_sources"])

    def GetMetadata(self, request: Any, context: Any) -> Any:
        kinds = pb.GetMetadata
        return kinds.Response(
            server_capabilities=pb.ServerCapabilities(),
            resources=[kinds.ResourceMetadata(type_name=name) for name in self._resources],
            data_sources=[kinds.DataSourceMetadata(type_name=name) for name in self._data],
        )

    def GetProviderSchema(self, request: Any, context: Any) -> Any:
        own = [pb.Schema.Attribute(name=n, type=b'"string"', optional=True) for n in _TEXTS]
        return pb.GetProviderSchema.Response(
            provider=pb.Schema(block=pb.Schema.Block(attributes=own)),
            resource_schemas=self._resources,
            data_source_schemas=self._data,
        )

    def GetResourceIdentitySchemas(self, request: Any, context: Any) -> Any:
        return pb.GetResourceIdentitySchemas.Response()

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:
        return pb.ConfigureProvider.Response()

    def GetFunctions(self, request: Any, context: Any) -> Any:
        return pb.GetFunctions.Response()

    def StopProvider(self, request: Any, context: Any) -> Any:
        return pb.StopProvider.Response()

    def PlanResourceChange(self, request: Any, context: Any) -> Any:
        proposed = _unpacked(request.proposed_new_state)
        for field in self._resources[request.type_name].block.attributes if proposed else ():
            if field.computed and proposed.get(field.name) is None:
                proposed[field.name] = _UNKNOWN
        return pb.PlanResourceChange.Response(
            planned_state=_packed(proposed), legacy_type_system=True
        )


def main(schema: str, *command: str) -> int:
    """Runs a command beside the provider; returns its exit code."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    described = json.loads(Path(schema).read_text(encoding="utf-8"))
    pb_grpc.add_ProviderServicer_to_server(Provider(described), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    reached = {
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": os.getpid(),
        "Test": True,
        "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
    }
    hosts = ("registry.terraform.io", "registry.opentofu.org")
    providers = {f"{host}/hashicorp/google": reached for host in hosts}
    environment = {
        **os.environ,
        "TF_REATTACH_PROVIDERS": json.dumps(providers),
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
    }
    # Another's settings could send Terraform to a mirror or a cache.
    environment.pop("TF_CLI_CONFIG_FILE", None)
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    finally:
        server.stop(0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
