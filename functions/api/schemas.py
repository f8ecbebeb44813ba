"""The documents of the HTTP API, as pydantic models: what /openapi.json says and responses hold."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:payphone:problem:invalid-input"])
    title: str
    status: int
    detail: str
    instance: str


class Tensor(BaseModel):
    """A tensor as the Open Inference Protocol describes it; -1 is a free dimension."""

    name: str
    datatype: str = Field(examples=["FP32", "BYTES"])
    shape: list[int]


class Price(BaseModel):
    """What one call to the model costs on the caller's plan, in major units as a decimal string."""

    plan: str
    currency: str
    per_call: str


class ModelSummary(BaseModel):
    """A model the caller's key may call."""

    name: str
    version: str
    task: str
    labels: list[str]


class ModelList(BaseModel):
    """The models the caller's key may call."""

    models: list[ModelSummary]


class ModelDetail(ModelSummary):
    """One model: what goes in, what comes out, what it costs, how it was proven."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    takes_missing: bool = Field(description="Whether a float may be missing: null in JSON, NaN in bytes.")
    max_instances: int
    price: Price
    quantization: str
    parity: dict[str, Any]
    training: dict[str, Any]
    licence: str


class Usage(BaseModel):
    """What one answered call says of itself."""

    call_id: str
    units: int
    billed: bool
    billed_version: str | None = None


class PredictRequest(BaseModel):
    """Instances: each the value itself, or an object by input name."""

    instances: list[Any] = Field(min_length=1, examples=[["A film I would see again."]])


class PredictResponse(BaseModel):
    """One prediction an instance, in order."""

    predictions: list[Any]
    model: str
    version: str
    usage: Usage


class InferTensor(Tensor):
    """A tensor with its data, or with `binary_data_size` where the bytes follow the JSON."""

    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class InferRequest(BaseModel):
    """An Open Inference Protocol request."""

    id: str | None = None
    inputs: list[InferTensor]
    outputs: list[dict[str, Any]] | None = None
    parameters: dict[str, Any] | None = None


class InferResponse(BaseModel):
    """An Open Inference Protocol answer."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferTensor]
    parameters: Usage


class ModelMetadata(BaseModel):
    """Open Inference Protocol model metadata."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class ModelReady(BaseModel):
    """Whether a model answers calls."""

    name: str
    ready: bool


class ServerMetadata(BaseModel):
    """Open Inference Protocol server metadata."""

    name: str
    version: str
    extensions: list[str]


class UsageRow(BaseModel):
    """Answered and billed calls that are alike in what usage was grouped by; the rest is left out."""

    day: str | None = Field(default=None, examples=["2026-11-23"])
    month: str | None = Field(default=None, examples=["2026-11"])
    model: str | None = None
    version: str | None = None
    kind: str | None = None
    plan: str | None = None
    key: str | None = None
    calls: int
    units: int


class UsageReport(BaseModel):
    """The caller's own usage. `month` is there if it is one month's."""

    customer: str
    month: str | None = Field(default=None, examples=["2026-11"])
    calls: int
    units: int
    rows: list[UsageRow]
    next: str | None = Field(default=None, description="`after` for the next page; left out on the last")


class Cost(BaseModel):
    """What a month costs in one currency; money is decimal strings in major units."""

    currency: str = Field(examples=["USD"])
    lines: list[dict[str, Any]]
    subtotal: str
    discounts: list[dict[str, Any]]
    credits: list[dict[str, Any]]
    taxes: list[dict[str, Any]]
    total: str = Field(description="subtotal - discounts - credits + taxes", examples=["12.50"])
    projected_total: str | None = Field(
        default=None, description="What it comes to at the month's end if calls go on as so far"
    )


class CostReport(BaseModel):
    """The caller's own costs of one UTC month, one entry a currency."""

    customer: str
    month: str = Field(examples=["2026-11"])
    status: str = Field(description="draft, or closed once there are invoices", examples=["draft"])
    costs: list[Cost]


class Key(BaseModel):
    """One of the caller's keys, without its value. Times are milliseconds since 1970 UTC, 0 for never."""

    key_id: str
    plan: str = Field(examples=["starter@5f0c7a3e91b2"])
    models: list[str] = Field(description="Models it may call; empty for all")
    created_at: int
    expires_at: int
    revoked_at: int
    usable: bool


class KeyList(BaseModel):
    """The caller's keys, oldest first."""

    keys: list[Key]


class Document(BaseModel):
    """A closed invoice, a credit note, or a draft; money is decimal strings in major units.

    An invoice has `lines`, `subtotal`, `discounts`, `credits`, `taxes` and the `rows` it was computed from; a
    credit note has the `invoice` it mends, its `reason` and the `calls` that it credits.
    """

    model_config = ConfigDict(extra="allow")

    status: str = Field(examples=["closed"])
    customer: str
    month: str
    currency: str
    total: str
    number: str | None = Field(default=None, examples=["payphone-000001"])
    type: str | None = Field(default=None, examples=["invoice", "credit_note"])


class InvoiceList(BaseModel):
    """The caller's documents; `month` is there if it was asked for."""

    month: str | None = None
    invoices: list[Document]
    next: str | None = Field(default=None, description="`after` for the next page; left out on the last")


class SealedHead(BaseModel):
    """A signed root: so many calls of a customer under it. `signature` is Ed25519, in base64."""

    seal: str = Field(examples=["2026-11-23"])
    day: str = Field(examples=["2026-11-23"])
    customer: str
    count: int
    root: str = Field(description="Root of the Merkle tree (RFC 9162), in hex")
    key: str = Field(description="Id of the key that signed, as GET /v1/sealing-keys lists it")
    signature: str


class ReceiptProof(BaseModel):
    """That a call's row is in a signed seal: hash the row as a leaf, then go up the path to the root."""

    status: Literal["sealed"]
    call_id: str
    receipt: str
    row: dict[str, str | int] = Field(description="The billed row; its canonical JSON is what is hashed")
    index: int
    path: list[str]
    seal: SealedHead


class PendingReceipt(BaseModel):
    """A billed call whose day is not sealed yet."""

    status: Literal["pending"]
    call_id: str
    receipt: str
    sealed_after: str = Field(examples=["2026-11-25T03:00:00Z"])


class SealingKey(BaseModel):
    """An Ed25519 public key, in base64. A later key is signed by the `previous` one."""

    id: str
    public_key: str
    previous: str
    signature: str


class SealingKeyList(BaseModel):
    """All keys that seals were ever signed with."""

    keys: list[SealingKey]


class Limit(BaseModel):
    """A limit that holds to the call: the quota counts calls, the spend cap money, as decimal strings."""

    limit: str = Field(examples=["quota", "spend_cap"])
    month: str = Field(examples=["2026-11"])
    most: str
    used: str
    left: str


class WalletEntry(BaseModel):
    """What was put into a wallet or settled with it; the calls themselves are in the usage."""

    kind: str = Field(examples=["top-up", "refund", "settlement"])
    reference: str
    amount: str
    reason: str
    made_at: str


class Wallet(BaseModel):
    """What is left to the caller's key; money is decimal strings, exact, in major units."""

    plan: str = Field(examples=["prepaid@5f0c7a3e91b2"])
    currency: str
    balance: str | None = Field(description="null on a plan that is paid by invoice")
    limits: list[Limit]
    entries: list[WalletEntry] = Field(description="The latest first, 100 at most")
