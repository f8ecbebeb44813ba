"""MLServer: the Open Inference Protocol, in its own process (parallel_workers 0)."""

from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput
from model import predict


class Iris(MLModel):
    async def predict(self, payload):
        scores = predict(list(payload.inputs[0].data))["probabilities"]
        return InferenceResponse(
            model_name=self.name,
            outputs=[ResponseOutput(name="scores", shape=[1, 3], datatype="FP32", data=[*scores.values()])],
        )
