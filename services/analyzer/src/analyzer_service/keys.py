"""API keys as the settings name them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from servicekit import errors


@dataclass(frozen=True)
class ApiKey:
    """A key with the name under which it is spoken of."""

    group: str
    label: str
    secret: SecretStr


def parse_keys(single: SecretStr | None, several: SecretStr | None) -> list[ApiKey]:
    """Keys from the settings; `several` wins, repeated keys count once.

    Raises:
        errors.FailedPrecondition: An entry is not `group:key`; the message says which by number, not by content.
    """
    if several is None or not several.get_secret_value().strip():
        value = single.get_secret_value().strip() if single else ""
        return [ApiKey("default", "default/1", SecretStr(value))] if value else []
    keys: list[ApiKey] = []
    seen: set[str] = set()
    for number, entry in enumerate(several.get_secret_value().split(","), start=1):
        if not entry.strip():
            continue
        group, colon, secret = (part.strip() for part in entry.partition(":"))
        if not colon:
            # A key without a group has a quota of its own.
            group, secret = f"key{number}", group
        if not group or not secret:
            raise errors.FailedPrecondition(
                f"entry {number} of GOOGLE_API_KEYS is not group:key; write it as project:key,project:key",
                reason="BAD_SETTINGS",
            )
        if secret not in seen:
            seen.add(secret)
            count = sum(key.group == group for key in keys) + 1
            keys.append(ApiKey(group, f"{group}/{count}", SecretStr(secret)))
    return keys
