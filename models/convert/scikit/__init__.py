"""Fitted scikit-learn estimators → TensorFlow ops: one file per family, put together by `source.py`."""
