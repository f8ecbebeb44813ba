#!/bin/sh
# Rewrite the locks: `make lock`. One resolution of pyproject.toml, cut into one file per purpose, so
# that any two of them can be installed together; and environments of their own for what runs
# beside ours (the local AWS, the Lambda runtime client, the control plane's layer). No index
# address is written. What is locked already stays at its version; `--upgrade` moves everything.
set -eu
cd "$(dirname "$0")/.."
all=$(mktemp)
trap 'rm -f "$all"' EXIT
grep -hE '^[a-zA-Z0-9._-]+==' requirements/run.txt requirements/train.txt requirements/cloud.txt requirements/dev.txt |
    sed 's/ *\\$//' | sort -u >"$all"
compile() { uv pip compile --universal --python-version 3.11 --no-header --no-annotate --quiet "$@"; }
compile pyproject.toml --all-extras --output-file "$all" "$@"
compile pyproject.toml --generate-hashes --constraint "$all" --output-file requirements/run.txt
for purpose in train cloud dev; do
    compile pyproject.toml --generate-hashes --constraint "$all" --extra "$purpose" \
        --output-file "requirements/$purpose.txt"
done
compile requirements/web.in --generate-hashes --constraint "$all" --output-file requirements/web.txt
for purpose in emulator lambda bench-lambda bench-litserve bench-bentoml bench-mlserver bench-models spark; do
    compile "requirements/$purpose.in" --generate-hashes --output-file "requirements/$purpose.txt"
done
# PyTorch without CUDA: what it needs is what it needs on Windows, and its build for x86-64 and CPython 3.11
# (torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl) is another file than the one with CUDA.
cpu_build=6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b
uv pip compile requirements/bench-torch.in --python-platform windows --python-version 3.11 --no-header \
    --no-annotate --quiet --generate-hashes --output-file requirements/bench-torch.txt
awk -v hash="$cpu_build" '/^torch==/ { print; print "    --hash=sha256:" hash; skip = 1; next }
    /^[^ ]/ { skip = 0 } !skip' requirements/bench-torch.txt >"$all"
cat "$all" >requirements/bench-torch.txt
