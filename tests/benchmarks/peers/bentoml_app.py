"""BentoML with one worker, its access log off."""

import bentoml
from model import predict


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Iris:
    @bentoml.api
    def predict(self, measures: list[float]) -> dict:
        return predict(measures)
