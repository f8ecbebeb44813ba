"""PyTorch's contestant for MiniLM: the same weights, eager, one thread, its own fused attention.

python -m tests.benchmarks.families.runners.torch_minilm WEIGHTS.safetensors CALLS.json
"""

import json
import sys
from pathlib import Path

import torch
from torch.nn import functional

from tests.benchmarks.families.runners.turns import rotating, serve

HEADS, EPSILON = 12, 1e-12


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Float32 arrays by name: 8 bytes with the header's length, the header as JSON, the raw data."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    found = {}
    for name, item in header.items():
        if item["dtype"] == "F32":
            begin, end = item["data_offsets"]
            part = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=start + begin)
            found[name] = part.reshape(item["shape"]).clone()
    return found


class Encoder:
    """BERT's layers as functions of torch."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self.weights = weights
        self.layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder."))

    def linear(self, hidden: torch.Tensor, part: str) -> torch.Tensor:
        return functional.linear(hidden, self.weights[f"{part}.weight"], self.weights[f"{part}.bias"])

    def normal(self, hidden: torch.Tensor, part: str) -> torch.Tensor:
        scale, offset = self.weights[f"{part}.weight"], self.weights[f"{part}.bias"]
        return functional.layer_norm(hidden, hidden.shape[-1:], scale, offset, EPSILON)

    def layer(self, hidden: torch.Tensor, kept: torch.Tensor, part: str) -> torch.Tensor:
        def heads(name: str) -> torch.Tensor:
            flat = self.linear(hidden, f"{part}.attention.self.{name}")
            return flat.unflatten(-1, (HEADS, -1)).transpose(1, 2)

        mixed = functional.scaled_dot_product_attention(
            heads("query"), heads("key"), heads("value"), attn_mask=kept[:, None, None, :]
        )
        attended = self.linear(mixed.transpose(1, 2).flatten(2), f"{part}.attention.output.dense")
        hidden = self.normal(attended + hidden, f"{part}.attention.output.LayerNorm")
        inner = functional.gelu(self.linear(hidden, f"{part}.intermediate.dense"))
        return self.normal(self.linear(inner, f"{part}.output.dense") + hidden, f"{part}.output.LayerNorm")

    @torch.inference_mode()
    def __call__(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        part = "embeddings"
        hidden = (
            functional.embedding(ids, self.weights[f"{part}.word_embeddings.weight"])
            + self.weights[f"{part}.position_embeddings.weight"][: ids.shape[1]]
            + self.weights[f"{part}.token_type_embeddings.weight"][0]
        )
        hidden = self.normal(hidden, f"{part}.LayerNorm")
        for number in range(self.layers):
            hidden = self.layer(hidden, mask.bool(), f"encoder.layer.{number}")
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(1) / weight.sum(1)
        return functional.normalize(mean, dim=-1)


def main(weights: Path, calls: Path) -> None:
    torch.set_num_threads(1)
    encode = Encoder(read_safetensors(weights))
    given = {}
    for batch, parts in json.loads(calls.read_text()).items():
        given[int(batch)] = []
        for part in parts:
            by_name = {name: (shape, bytearray.fromhex(data)) for name, _, shape, data in part}
            tensors = [
                torch.frombuffer(data, dtype=torch.int32).reshape(shape).clone()
                for shape, data in (by_name["ids"], by_name["mask"])
            ]
            given[int(batch)].append(tuple(tensors))

    def run(part: object) -> torch.Tensor:
        return encode(*part)  # type: ignore[misc]

    serve(
        {batch: rotating(run, parts) for batch, parts in given.items()},
        lambda: [run(part)[0].tolist() for part in given[1]],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
