"""Fills a folder with a checkpoint from the hub, once: usage fetch_weights.py HUB_ID REVISION FOLDER.

The folder appears when it is whole. Weights without code in them are preferred; older checkpoints have none.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

# Read when the hub's client is imported; its own cache need not outlive the Job.
os.environ["HF_HOME"] = "/tmp/hub"  # noqa: S108  # a volume of the pod's own

from huggingface_hub import snapshot_download


def main() -> int:
    """Fetches what is not there yet."""
    hub_id, revision, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if folder.is_dir():
        print(f"{folder} is there already")
        return 0
    part = folder.with_name(f"{folder.name}.part")
    wanted = ["*.json", "merges.txt", "model*.safetensors"]
    snapshot_download(hub_id, revision=revision, local_dir=part, allow_patterns=wanted)
    if not any(part.glob("model*.safetensors")):
        snapshot_download(hub_id, revision=revision, local_dir=part, allow_patterns=["pytorch_model.bin"])
    shutil.rmtree(part / ".cache", ignore_errors=True)
    part.rename(folder)
    print(f"{hub_id} at {revision} is in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
