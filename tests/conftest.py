"""What the whole suite shares: the real `sentiment` model, trained once per session."""

import os
from pathlib import Path

import pytest

from infra.pipeline import Built, build
from infra.workspace import Workspace

pytest_plugins = ["tests.fixtures.server"]


@pytest.fixture(scope="session")
def sentiment_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Where the session's model lies. PAYPHONE_TEST_WORKSPACE names a folder to keep it between sessions.

    Read it, copy it, but do not write to it.
    """
    kept = os.environ.get("PAYPHONE_TEST_WORKSPACE")
    return Workspace(Path(kept).absolute() if kept else tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="session")
def sentiment(sentiment_workspace: Workspace) -> Built:
    """The published version of `sentiment`. About a minute the first time."""
    return build("sentiment", sentiment_workspace)
