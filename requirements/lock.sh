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
for purpose in emulator lambda bench-lambda bench-litserve bench-bentoml bench-mlserver; do
    compile "requirements/$purpose.in" --generate-hashes --output-file "requirements/$purpose.txt"
done
