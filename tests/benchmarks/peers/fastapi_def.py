"""FastAPI with a plain `def` endpoint, as its tutorial has it: no key, no limit, nothing recorded."""

from fastapi import FastAPI
from model import predict
from pydantic import BaseModel


class Row(BaseModel):
    measures: list[float]


class Prediction(BaseModel):
    label: str
    probabilities: dict[str, float]


app = FastAPI()


@app.post("/predict")
def run(row: Row) -> Prediction:
    return Prediction(**predict(row.measures))
