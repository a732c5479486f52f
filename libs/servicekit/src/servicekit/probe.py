"""Asks a server's health: `python -m servicekit.probe 127.0.0.1:50051`; status 0 when it is SERVING."""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.client import credentials
from servicekit.settings import ServiceSettings

SECONDS = 3.0


def main(arguments: list[str]) -> int:
    """Returns 0 for SERVING, 1 otherwise, 2 for wrong usage."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    secure = credentials(ServiceSettings())
    target = arguments[0]
    channel = grpc.insecure_channel(target) if secure is None else grpc.secure_channel(target, secure)
    with channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except grpc.RpcError as error:
            print(f"{target}: {error.code().name}", file=sys.stderr)
            return 1
    return 0 if answer.status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
