"""What the two HTTP dialects share: a request, what it asks of a model, and how the answer is written."""

from __future__ import annotations

from functions.preprocess.tensors import Tensor
from models.manifest import Manifest, TensorSpec
from models.typed import Any, Mapping, NamedTuple, Protocol, Sequence

JSON = "application/json"
HEADER_LENGTH = "inference-header-content-length"
# All that core and dialects read of a request's headers.
HEADERS = ("content-type", "idempotency-key", HEADER_LENGTH)


class Request(NamedTuple):
    """One HTTP request. Header names are lower-case; `path` has no query; `time_ms` is the gateway's.

    `attempt_id` is the gateway's own id of this request, which a client can't choose.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    attempt_id: str
    time_ms: int


class Asked(NamedTuple):
    """What a request asks: one tensor a public input, how many instances, and what the dialect recalls."""

    tensors: list[Tensor]
    units: int
    recalled: Any = None


class Answer(NamedTuple):
    """An encoded answer: `body` joined with the receipt gives the final bytes."""

    headers: dict[str, str]
    body: bytes


class Receipt(NamedTuple):
    """What the answer says of its own billing."""

    call_id: str
    units: int
    billed: bool
    billed_version: str


class ModelView(Protocol):
    """What a dialect needs to know of a loaded model."""

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors a caller gives."""

    @property
    def forms(self) -> Sequence[tuple[TensorSpec, ...]]:
        """All ways to give them: `inputs` first, then others, such as a file in place of its pixels."""

    @property
    def takes_missing(self) -> bool:
        """Whether floats may be missing: null in JSON, NaN in bytes."""


class Dialect(Protocol):
    """One way to ask and to answer over HTTP."""

    def decode(self, model: ModelView, request: Request) -> Asked:
        """Read the body; Problem or InputError where it is not as expected."""

    def encode(self, model: ModelView, asked: Asked, outputs: Sequence[Tensor], receipt: Receipt) -> Answer:
        """Write the answer."""
