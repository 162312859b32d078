#!/usr/bin/env bash
# Makes the virtual environment of these scripts: bash setup.sh FOLDER [option of pip ...]
#
# PyPI's PyTorch for Linux on x86-64 brings along the libraries of a GPU, gigabytes that are
# not used here. Where PyTorch's own index can be reached,
#     bash setup.sh FOLDER --extra-index-url https://download.pytorch.org/whl/cpu
# may find a build without them.
set -euo pipefail
folder=${1:?setup.sh: got no folder, want one for the virtual environment}
python3 -m venv "$folder"
"$folder/bin/pip" install --requirement "$(dirname "$0")/requirements.txt" "${@:2}"
