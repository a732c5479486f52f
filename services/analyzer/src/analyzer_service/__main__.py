"""The analyzer service: `python -m analyzer_service`."""

from __future__ import annotations

from jewelry.analyzer.v1 import analyzer_pb2
from jewelry.analyzer.v1.analyzer_pb2_grpc import add_AnalyzerServiceServicer_to_server

from analyzer_service.servicer import AnalyzerServicer
from analyzer_service.settings import Settings
from analyzer_service.wiring import Wired, wire
from servicekit import Service, run


def service(wired: Wired) -> Service:
    """What the server builder needs."""
    servicer = AnalyzerServicer(wired.analyzer, wired.extras)
    return Service(
        register=lambda server: add_AnalyzerServiceServicer_to_server(servicer, server),
        descriptors=[analyzer_pb2.DESCRIPTOR.services_by_name["AnalyzerService"]],
        warm_up=wired.warm_up,
        close=wired.close,
    )


def main() -> None:
    """Serves until it is told to stop."""
    settings = Settings()  # type: ignore[call-arg]  # filled from the environment

    async def build() -> Service:
        return service(wire(settings))

    run("analyzer", settings, settings.analyzer_addr, build)


if __name__ == "__main__":
    main()
