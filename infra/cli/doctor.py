"""`payphone doctor`: whether what Payphone stands on is there and whole, and what to do if not."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.console import FAILED, escape, print_json, show, size_text, table
from infra.cli.context import HOST, PORT, AsJson, OnStage, Places, places, settings, target
from infra.findings import Finding

if TYPE_CHECKING:
    from infra.workspace import Workspace
    from models.registry import Registry

OLDEST_PYTHON = (3, 11)
FREE_BYTES = 1_000_000_000  # a training keeps its data and every intermediate file


def doctor(
    ctx: typer.Context,
    port: Annotated[int, typer.Option("--port", help="The port that `payphone serve` will use.")] = PORT,
    stage: OnStage = None,
    as_json: AsJson = False,
) -> None:
    """Check the installation, the state and the settings, or a stage on AWS, and say what to do.

    Example: payphone doctor
    """
    if stage is None:
        findings = list(examine(places(ctx), port))
    else:
        from infra.cloud.stage import Stage
        from infra.stage_checks import examine_stage

        findings = list(examine_stage(Stage(target(ctx, stage)), settings(ctx)))
    sick = [finding for finding in findings if finding.remedy]
    if as_json:
        checks = [{**finding._asdict(), "ok": not finding.remedy} for finding in findings]
        print_json({"ok": not sick, "checks": checks})
    else:
        rows = [("[red]✗[/]" if f.remedy else "[green]✓[/]", f.check, escape(f.found)) for f in findings]
        show(table(("", "Check", "Found"), rows))
        for finding in sick:
            show(f"[red]{finding.check}[/]: {escape(finding.remedy)}")
        if not sick:
            show("All is well.")
    if sick:
        raise typer.Exit(FAILED)


def examine(where: Places, port: int) -> Iterator[Finding]:
    """Run all checks, one finding or more each. None of them changes anything but its own trial file."""
    from infra.workspace import Workspace

    yield _python()
    yield _runtime()
    yield _port(port)
    try:
        place = Workspace(where.state)
    except OSError as error:
        yield Finding("state folder", str(error), f"make {where.state} writable, or use another --state")
        place = None
    yield from _settings(where.service, place)
    if place is not None:
        yield _state(place)
        yield _disk(place)
        for name, file in (
            ("ledger", place.ledger_file),
            ("keys", place.keys_file),
            ("customers", place.customers_file),
        ):
            yield _database(name, file)
        yield _accounts(place)
        yield from _models(place)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Finding("Python", version, "Python 3.11 or newer is needed: make quickstart PYTHON=python3.12")
    return Finding("Python", version)


def _runtime() -> Finding:
    from functions.inference.library import VERSION, Library, LibraryError, find_library
    from functions.inference.runtime import RuntimeFailure

    try:
        Library(find_library())
    except (LibraryError, RuntimeFailure) as error:
        return Finding("LiteRT runtime", str(error), "install the locked requirements again: make quickstart")
    return Finding("LiteRT runtime", f"version {VERSION} loads")


def _port(port: int) -> Finding:
    check = f"port {port}"
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            remedy = "stop what listens there, or use payphone serve --port N"
            return Finding(check, error.strerror or str(error), remedy)
    return Finding(check, "free")


def _settings(file: Path, place: Workspace | None) -> Iterator[Finding]:
    from infra.service import SettingsError, load

    try:
        settings = load(file)
    except SettingsError as error:
        yield Finding("settings", str(error), f"edit {file}: each line above names what was expected")
        return
    plans, served = ", ".join(settings.plans), set(settings.models.serve)
    yield Finding("settings", f"{file.name} is valid; plans {plans}")
    if place is not None:
        for name in sorted(served - set(place.registry().models())):
            yield Finding(f"model {name}", "to be served, not published", f"payphone model train {name}")


def _state(place: Workspace) -> Finding:
    trial = place.root / f".trial-{os.getpid()}"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        return Finding("state folder", str(error), f"make {place.root} writable, or use another --state")
    mode = place.root.stat().st_mode & 0o777
    if mode & 0o077:
        found = f"{place.root} is open to others (mode {mode:o})"
        return Finding("state folder", found, f"chmod 700 {place.root}: it says who your customers are")
    return Finding("state folder", f"{place.root} is writable and private")


def _disk(place: Workspace) -> Finding:
    free = shutil.disk_usage(place.root).free
    found = f"{free / 1e9:.1f} GB free"
    if free < FREE_BYTES:
        return Finding("disk space", found, f"free some: {size_text(FREE_BYTES)} should be left")
    return Finding("disk space", found)


def _database(name: str, file: Path) -> Finding:
    """Let SQLite read all of a file through and compare its indices with its tables."""
    check = f"{name} database"
    if not file.exists():
        return Finding(check, "not there yet; made when first needed")
    remedy = f"stop the server, keep a copy of {file}, and restore the last good backup"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            problems = [row[0] for row in database.execute("PRAGMA integrity_check")]
    except sqlite3.Error as error:
        return Finding(check, str(error), remedy)
    if problems != ["ok"]:
        return Finding(check, "; ".join(problems[:3]), remedy)
    return Finding(check, f"whole, {size_text(file.stat().st_size)}")


def _accounts(place: Workspace) -> Finding:
    """Add up what was posted to each account and what live calls hold of it."""
    from functions.metering.ledger import LedgerUnavailable
    from functions.sqlite import UnusableDatabase

    check = "wallets and limits"
    if not place.ledger_file.exists():
        return Finding(check, "not there yet; made when first needed")
    try:
        with closing(place.accounts()) as accounts:
            wrong = accounts.discrepancies()
    except (LedgerUnavailable, UnusableDatabase):  # which the check of the ledger's file has a remedy for
        return Finding(check, "not added up, as the ledger can't be read")
    if wrong:
        found = f"{wrong[0]} is not what was put in less what its calls hold; {len(wrong)} such in all"
        return Finding(check, found, "the ledger was changed by hand: restore the last good backup")
    return Finding(check, "every balance is what was put in less what live calls hold")


def _models(place: Workspace) -> Iterator[Finding]:
    """Compare every file of every published version with the SHA-256 in its manifest."""
    registry = place.registry()
    for name in registry.models():
        versions = registry.versions(name)
        bad = [(version, problem) for version in versions if (problem := _broken(registry, name, version))]
        if not bad:
            listed, live = ", ".join(versions), registry.live(name)
            yield Finding(f"model {name}", f"all files as published; versions {listed}, live {live}")
        for version, problem in bad:
            remedy = f"restore {place.models / name / version} from a backup, or promote another version"
            yield Finding(f"model {name}", f"version {version}: {problem}", remedy)


def _broken(registry: Registry, name: str, version: str) -> str:
    """What is wrong with a published version; "" if its files are those its manifest names."""
    from models.manifest import ManifestError, verify
    from models.store import NotInStore

    try:
        manifest = registry.manifest(name, version)
        for ref in manifest.files:
            verify(ref, registry.read(manifest, ref.name))
    except (ManifestError, NotInStore, OSError) as error:
        return str(error)
    return ""
