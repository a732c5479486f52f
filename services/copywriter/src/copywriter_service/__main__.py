"""Starts the copywriter: `python -m copywriter_service`."""

from __future__ import annotations

from collections.abc import Sequence

from jewelry.copywriter.v1 import copywriter_pb2, copywriter_pb2_grpc

from copywriter_service.adapters.cache_sql import SqlCache
from copywriter_service.adapters.composed import ComposedWriter
from copywriter_service.adapters.openai_writer import OpenAIOptions, OpenAIWriter
from copywriter_service.adapters.retries import RetryPolicy
from copywriter_service.copywriter import Copywriter
from copywriter_service.domain import AdapterInfo
from copywriter_service.servicer import CopywriterServicer
from copywriter_service.settings import Settings
from servicekit import Service, run

NO_KEY = "no key configured: copy is composed from the attributes; set OPENAI_API_KEY to have it written"
NO_IMAGES = "pictures are not made yet"


def build(settings: Settings) -> Service:
    """Wires the service."""
    cache = SqlCache(settings.database_url.get_secret_value() if settings.database_url else None, settings.data_dir)
    writer = _writer(settings)
    copywriter = Copywriter(cache, writer, seconds=settings.copy_seconds, lease_seconds=settings.copy_lease_seconds)

    def providers() -> Sequence[AdapterInfo]:
        return writer.info, _images(writer, settings.openai_image_model), cache.info

    # The stubs call every RPC abstract; GenerateImages is answered by the generated base, as unbuilt RPCs are.
    servicer = CopywriterServicer(copywriter, cache, providers)  # type: ignore[abstract]
    return Service(
        register=lambda server: copywriter_pb2_grpc.add_CopywriterServiceServicer_to_server(servicer, server),
        descriptors=[copywriter_pb2.DESCRIPTOR.services_by_name["CopywriterService"]],
        warm_up=copywriter.open,
        close=copywriter.close,
    )


def _writer(settings: Settings) -> OpenAIWriter | ComposedWriter:
    if settings.openai_api_key is None or not settings.openai_api_key.get_secret_value().strip():
        return ComposedWriter(NO_KEY)
    policy = RetryPolicy(attempts=settings.openai_attempts, attempt_seconds=settings.openai_attempt_seconds)
    return OpenAIWriter(
        OpenAIOptions(
            api_key=settings.openai_api_key.get_secret_value().strip(),
            model=settings.openai_model,
            image_model=settings.openai_image_model,
            base_url=settings.openai_base_url,
            api=settings.openai_api,
            reasoning_effort=settings.openai_reasoning_effort,
            max_output_tokens=settings.openai_max_output_tokens,
            concurrency=settings.openai_concurrency,
            input_price=settings.openai_input_price,
            output_price=settings.openai_output_price,
            policy=policy,
        )
    )


def _images(writer: OpenAIWriter | ComposedWriter, model: str) -> AdapterInfo:
    if isinstance(writer, OpenAIWriter):
        info = writer.role_info("image_edits", model)
        return AdapterInfo(
            info.role, "none", embedded=False, model_id=model, detail="; ".join(filter(None, (NO_IMAGES, info.detail))),
            shutdown_date=info.shutdown_date,
        )  # fmt: skip
    return AdapterInfo("image_edits", "none", embedded=False, detail=NO_IMAGES)


def main() -> None:
    """Reads the settings and serves until SIGTERM."""
    settings = Settings()

    async def built() -> Service:
        return build(settings)

    run("copywriter", settings, settings.copywriter_addr, built)


if __name__ == "__main__":
    main()
