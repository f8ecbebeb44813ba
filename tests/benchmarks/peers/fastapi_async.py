"""FastAPI with an `async def` endpoint: no thread a request, and the loop waits while the model runs."""

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
async def run(row: Row) -> Prediction:
    return Prediction(**predict(row.measures))
