"""Load `embed`: MiniLM's published weights, a probe of its vectors, and sentences to prove it on."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.catalog.entries import Entry
from models.families.minilm import MiniLM, read_safetensors
from models.parity import Answer
from models.preprocess.wordpiece import TOKENIZER_FILE, VOCABULARY_FILE, BertText
from models.splits import distinct, stratified_split
from models.trained import Figures, Tell, Trained

WEIGHTS_FILE = "model.safetensors"
HELD_OUT_FILE = "held_out.json"

# From the usage section of sentence-transformers' own page on all-MiniLM-L6-v2.
CARD_SENTENCES = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")
CARD_SIMILARITIES = ((1.0, 0.6660, 0.1046), (0.6660, 1.0, 0.1411), (0.1046, 0.1411, 1.0))
CARD_ROUNDING = 1e-4


def train(entry: Entry, data: Mapping[str, Path], folder: Path, tell: Tell) -> Figures:
    """Learn nothing but the probe: a logistic regression that reads sentiment from the vectors."""
    for name, file in (
        ("weights", WEIGHTS_FILE),
        ("tokenizer", TOKENIZER_FILE),
        ("vocabulary", VOCABULARY_FILE),
    ):
        shutil.copy(data[name], folder / file)
    sentences, split = distinct(_read(data["sentences"])), entry.split
    _, chosen = stratified_split(sentences, split["sentences"] / len(sentences), split["seed"])
    rest, held_out = stratified_split(chosen, split["held_out"], split["seed"])
    (folder / HELD_OUT_FILE).write_text(json.dumps([text for text, _ in held_out]), "utf-8")

    tell(f"MiniLM reads {len(chosen):,} sentences", 0, 0)
    answer = load(entry, folder).answer
    probe = LogisticRegression(max_iter=1000).fit(answer([text for text, _ in rest]), [y for _, y in rest])
    accuracy = float(probe.score(answer([text for text, _ in held_out]), [y for _, y in held_out]))
    facts = {
        "largest_difference_to_the_model_card": _check_card(answer),
        "probe": f"logistic regression on the vectors of {len(rest):,} film sentences",
        "probe_accuracy": accuracy,
    }
    return Figures("accuracy of a linear probe", accuracy, len(held_out), facts)


def load(entry: Entry, folder: Path) -> Trained:
    """The model in float32, its tokenizer and the held-out sentences."""
    model = MiniLM(read_safetensors(folder / WEIGHTS_FILE))
    text = BertText(folder, entry.encoding)
    encode = tf.function(model.encode, autograph=False, reduce_retracing=True)
    size = entry.training["batch"]

    def answer(texts: Sequence[str]) -> NDArray[Any]:
        parts = (text.encode(texts[at : at + size]) for at in range(0, len(texts), size))
        return np.concatenate([encode(*map(tf.constant, part))["embedding"].numpy() for part in parts])

    held_out = json.loads((folder / HELD_OUT_FILE).read_text("utf-8"))
    return Trained(source=model, answer=answer, held_out=held_out, labels=[], encoding=text.describe())


def _check_card(answer: Answer) -> float:
    """Compare what the model's own card says of three sentences; ValueError where this is another model."""
    vectors = answer(CARD_SENTENCES)
    difference = float(np.abs(vectors @ vectors.T - CARD_SIMILARITIES).max())
    if not difference < CARD_ROUNDING:
        raise ValueError(
            f"the model card's similarities are missed by {difference:.4f}: these are other weights"
        )
    return difference


def _read(path: Path) -> list[tuple[str, int]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [(row["text"], int(row["label"])) for row in rows if row["source"] == "rotten_tomatoes"]
