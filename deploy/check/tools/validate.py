"""Validates objects against Kubernetes' own schemas, strictly; runs with the environment of `schemas.txt`.

Reads JSON from standard input: a list of [version, object]. Prints a JSON list of [index, sentence] of those that fail.
"""

from __future__ import annotations

import json
import sys

import kubernetes_validate  # type: ignore[import-not-found]  # in an environment of its own


def problem(version: str, one: dict[str, object]) -> str:
    """What a version of Kubernetes would not take; empty where it takes all."""
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(str(part) for part in error.path)}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        return f"there is no {one['apiVersion']} {one['kind']}"
    return ""


def main() -> None:
    """Asks for each."""
    found = ((index, problem(*asked)) for index, asked in enumerate(json.load(sys.stdin)))
    json.dump([entry for entry in found if entry[1]], sys.stdout)


if __name__ == "__main__":
    main()
