"""Pictures and field values, which several services speak in the same way, to messages and back."""

from __future__ import annotations

from collections.abc import Iterable

from jewelry.type.v1 import type_pb2

from gateway_service.adapters.remote import enum_word
from gateway_service.model import FieldValue, Picture


def encode_pictures(pictures: Iterable[Picture]) -> list[type_pb2.Picture]:
    """Pictures as messages."""
    return [type_pb2.Picture(content=picture.content, url=picture.url) for picture in pictures]


def decode_fields(messages: Iterable[type_pb2.FieldValue]) -> tuple[FieldValue, ...]:
    """Field values from messages."""
    return tuple(
        FieldValue(
            field=message.field,
            values=tuple(message.values),
            source=enum_word(type_pb2.ValueSource, message.source),
            confidence=round(message.confidence, 4),
            evidence=message.evidence,
            model_id=message.model_id,
            prompt_version=message.prompt_version,
            suggestions=tuple(message.suggestions),
            review_reason=message.review_reason,
        )
        for message in messages
    )


def encode_fields(fields: Iterable[FieldValue]) -> list[type_pb2.FieldValue]:
    """Field values as messages."""
    return [
        type_pb2.FieldValue(
            field=field.field,
            values=field.values,
            source=type_pb2.ValueSource.Value(f"VALUE_SOURCE_{(field.source or 'unspecified').upper()}"),
            confidence=field.confidence,
            evidence=field.evidence,
            model_id=field.model_id,
            prompt_version=field.prompt_version,
            suggestions=field.suggestions,
            review_reason=field.review_reason,
        )
        for field in fields
    ]
