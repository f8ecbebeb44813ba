#!/bin/sh
# Rewrite the locks from pyproject.toml: `make lock`. One resolution for everything, cut into one
# file per purpose, so that any two of them can be installed together. No index address is written.
set -eu
cd "$(dirname "$0")/.."
all=$(mktemp)
trap 'rm -f "$all"' EXIT
compile() { uv pip compile pyproject.toml --universal --python-version 3.11 --no-header --no-annotate --quiet "$@"; }
compile --all-extras --output-file "$all"
compile --generate-hashes --constraint "$all" --output-file requirements/run.txt
for purpose in train dev; do
    compile --generate-hashes --constraint "$all" --extra "$purpose" --output-file "requirements/$purpose.txt"
done
