"""Convert every estimator of a folder. Run as a child: needs TensorFlow.

python convert_all.py FOLDER: <case>.joblib → <case>.tflite, or <case>.refused with the reason
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib

from models.convert import tflite
from models.convert.kinds import source
from models.quantize import QUANTIZATIONS

for path in sorted(Path(sys.argv[1]).glob("*.joblib")):
    try:
        converted = source("scikit-learn").graph(joblib.load(path))
        with TemporaryDirectory() as saved:
            tflite.save(converted, Path(saved))
            data = tflite.write(converted, Path(saved), QUANTIZATIONS["float32"])
        path.with_suffix(".tflite").write_bytes(data)
    except tflite.ConversionError as error:
        path.with_suffix(".refused").write_text(str(error))
