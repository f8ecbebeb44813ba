"""Convert every model file of a folder. Run as a child: needs TensorFlow.

python convert_all.py FOLDER: <case>.xgboost, <case>.lightgbm → <case>.tflite, or <case>.refused: why
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from models.convert import tflite
from models.convert.kinds import source
from models.quantize import QUANTIZATIONS

for kind in ("xgboost", "lightgbm"):
    for path in sorted(Path(sys.argv[1]).glob(f"*.{kind}")):
        try:
            converted = source(kind).graph(path.read_bytes())
            with TemporaryDirectory() as saved:
                tflite.save(converted, Path(saved))
                data = tflite.write(converted, Path(saved), QUANTIZATIONS["float32"])
            path.with_suffix(".tflite").write_bytes(data)
        except tflite.ConversionError as error:
            path.with_suffix(".refused").write_text(str(error))
