import pytest

from infra.cli.progress import ModelBars, StepBars
from infra.progress import Progress

EVENTS = [
    Progress("fetch", "Fetching [reviews]", 1, 4, {}),
    Progress("fetch", "All [reviews] are here", 4, 4, {}),
    Progress("train", "Epoch 1", 1, 0, {}),
    Progress("train", "Accuracy 0.84", 1, 1, {}),
]


def draw():
    with StepBars() as bars:
        for event in EVENTS:
            bars.on_progress(event)


def test_a_log_gets_a_sentence_a_step_and_standard_output_nothing(capsys):
    draw()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["fetch    All [reviews] are here", "train    Accuracy 0.84"]


def test_a_terminal_ends_with_a_ticked_line_a_step(capsys, monkeypatch):
    for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    draw()
    out, err = capsys.readouterr()
    assert out == ""
    last = [line for line in err.splitlines() if "✓" in line]
    assert "All [reviews] are here" in last[-2]
    assert "Accuracy 0.84" in last[-1]


def test_an_error_leaves_the_terminal_as_it_was(capsys, monkeypatch):
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError), StepBars() as bars:
        bars.on_progress(EVENTS[0])
        raise RuntimeError
    assert capsys.readouterr().err.rindex("\x1b[?25h") > 0  # the cursor is shown again


def test_many_models_have_a_line_each_that_is_ticked_once_it_is_published(capsys, monkeypatch):
    for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    with ModelBars() as bars:
        for event in (*EVENTS, Progress("publish", "version 1 is in the registry", 1, 1, {})):
            bars.on_model("speaker", event)
        bars.on_model("digits", EVENTS[1])
    lines = capsys.readouterr().err.splitlines()
    speaker, digits = ([line for line in lines if name in line][-1] for name in ("speaker", "digits"))
    assert "✓" in speaker
    assert "version 1 is in the registry" in speaker
    assert "✓" not in digits
