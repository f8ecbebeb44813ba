"""Encode texts with Keras itself, as the oracle. Run as a child: it needs TensorFlow.

python encode_with_keras.py JOB → for each case of the JSON job, its vocabulary and raw int32 ids
"""

import csv
import json
import sys
from pathlib import Path

from tensorflow.keras.preprocessing.sequence import pad_sequences
from tensorflow.keras.preprocessing.text import Tokenizer, tokenizer_from_json

job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
folder = Path(sys.argv[1]).parent

with Path(job["reviews"]).open(encoding="utf-8", newline="") as file:
    reviews = [row["text"] for row in csv.DictReader(file)]
tokenizer = tokenizer_from_json(Path(job["tokenizer"]).read_text("utf-8"))
ids = pad_sequences(tokenizer.texts_to_sequences(reviews), maxlen=100)
(folder / "reviews.ids").write_bytes(ids.astype("<i4").tobytes())

for number, case in enumerate(job["cases"]):
    tokenizer = Tokenizer(**case["tokenizer"])
    tokenizer.fit_on_texts(case["fit"])
    sequences = tokenizer.texts_to_sequences(case["texts"])
    ids = pad_sequences(sequences, **case["padding"])
    (folder / f"{number}.ids").write_bytes(ids.astype("<i4").tobytes())
    (folder / f"{number}.json").write_text(json.dumps(tokenizer.word_index))
