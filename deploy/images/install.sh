#!/usr/bin/env bash
# Builds the environment of one member, and of nothing else, in a new virtual environment. Runs in an image's build
# stage, from the repository's root.
#
# Usage: deploy/images/install.sh MEMBER [ENVIRONMENT]     such as services/exporter; /opt/app unless told
set -euo pipefail

member=$1
app=${2:-/opt/app}
python=${PYTHON:-python3}
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

"$python" -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check -c constraints.txt uv
uv=("$tools/venv/bin/uv" pip install --quiet -c constraints.txt)

# The stubs are made here, so that no image holds a compiler of contracts.
"${uv[@]}" --python "$tools/venv/bin/python" grpcio-tools mypy-protobuf
"$tools/venv/bin/python" scripts/protos.py

mapfile -t members < <("$python" deploy/images/members.py "$member")
"$python" -m venv --without-pip "$app"
if "$python" deploy/images/members.py --needs torch "$member"; then
	"${uv[@]}" --python "$app/bin/python" --extra-index-url "$torch_index" --index-strategy unsafe-best-match torch
fi
"${uv[@]}" --overrides overrides.txt --python "$app/bin/python" --compile-bytecode "${members[@]}"
