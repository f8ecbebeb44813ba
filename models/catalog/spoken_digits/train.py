"""Train and load `spoken-digits`: recordings in, a CNN over their spectra and the official test clips out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from models.catalog.entries import Entry
from models.data import read_archive
from models.families.kinds import Rows, family
from models.preprocess.audio import Wav
from models.splits import stratified_split
from models.trained import Figures, Tell, Trained

MODEL_FILE = "model.keras"
TEST_FILE = "test.json"


class Clip(NamedTuple):
    """One recording: a file named {digit}_{speaker}_{number}.wav."""

    digit: int
    speaker: str
    number: int
    file: bytes


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Fit by the official split; then once for each speaker, on the others alone, for the harder figure."""
    tell("Reading the recordings", 0, 0)
    wav = Wav(entry.encoding)
    clips = [_clip(name, file) for name, file in read_archive(data["recordings"], "recordings").items()]
    test = [clip for clip in clips if clip.number < entry.split["test"]]
    rest = [clip for clip in clips if clip.number >= entry.split["test"]]
    fitted = _fit(entry, entry.training, wav, rest, tell)
    fitted.source.save(folder / MODEL_FILE)
    values = [wav.value(clip.file) for clip in test]
    labels = [clip.digit for clip in test]
    (folder / TEST_FILE).write_text(json.dumps({"values": values, "labels": labels}), "utf-8")
    trained = load(entry, folder)
    accuracy = float((trained.answer(values).argmax(axis=1) == np.array(labels)).mean())

    shorter = {**entry.training, "epochs": entry.split["speaker_epochs"]}
    unheard = {}
    for speaker in entry.split["speaker_out"]:
        others = [clip for clip in clips if clip.speaker != speaker]
        own = _rows(wav, [clip for clip in clips if clip.speaker == speaker])
        model = _fit(
            entry, shorter, wav, others, lambda message, *at, s=speaker: tell(f"Without {s}: {message}", *at)
        )
        unheard[speaker] = float(
            (model.source.predict(own.inputs, verbose=0).argmax(axis=1) == own.targets).mean()
        )
    facts = {
        "accuracy_by_speaker_never_heard": unheard,
        "mean_accuracy_on_speakers_never_heard": float(np.mean(list(unheard.values()))),
    }
    return Figures("accuracy", accuracy, len(test), {**fitted.facts, **facts})


def load(entry: Entry, folder: Path) -> Trained:
    """The model and the official test clips, as `train` left them."""
    model = keras.models.load_model(folder / MODEL_FILE)
    wav = Wav(entry.encoding)
    test = json.loads((folder / TEST_FILE).read_text("utf-8"))
    return Trained(
        source=model,
        answer=lambda values: model.predict(wav.encode(values), verbose=0),
        held_out=test["values"],
        labels=test["labels"],
        encoding=wav.describe(),
    )


def _fit(entry: Entry, parameters: Mapping[str, Any], wav: Wav, clips: list[Clip], tell: Tell) -> Any:
    numbered = [(number, clip.digit) for number, clip in enumerate(clips)]
    training, validation = (
        _rows(wav, [clips[number] for number, _ in part])
        for part in stratified_split(numbered, entry.split["validation"], entry.split["seed"])
    )
    return family(entry.family).fit(parameters, training, validation, tell)


def _clip(name: str, file: bytes) -> Clip:
    digit, speaker, number = name.removesuffix(".wav").split("_")
    return Clip(int(digit), speaker, int(number), file)


def _rows(wav: Wav, clips: list[Clip]) -> Rows:
    return Rows(
        wav.encode([wav.value(clip.file) for clip in clips]), np.array([clip.digit for clip in clips])
    )
