"""The predict core: the one place where an answer and its usage row are born together.

    accept   route, key, limits, decode, preprocess; then start to write the row
    run      infer, while the row is on its way to the disk; a call that holds waits for it first
    finish   wait for the row; only then write the answer, or take the row back

Every place that serves calls (the local server, the Lambda handler) is a few lines around these
three steps and adds no behaviour. Standard library and our own modules only.
"""

from __future__ import annotations

from os import urandom
from time import perf_counter_ns

from functions.access.keys import KeyRecord
from functions.calls import log, problems, v2
from functions.calls.dialect import JSON, Asked, ModelView, Receipt, Request
from functions.calls.problems import Problem, Response, unauthenticated
from functions.calls.routes import PREDICT, Route, route
from functions.inference.answers import UnusableScores
from functions.metering.canonical import receipt_of
from functions.metering.event import LIVE, UsageEvent
from functions.metering.ledger import (
    Billed,
    Insufficient,
    Ledger,
    LedgerUnavailable,
    Outcome,
    Refused,
    Replayed,
    Ticket,
)
from functions.preprocess.tensors import InputError, Tensor
from models.typed import TYPE_CHECKING, Protocol, Sequence

if TYPE_CHECKING:
    from functions.calls.limits import Admission, Limits

MAX_ANSWER = 4 * 1024 * 1024


class Model(ModelView, Protocol):
    """A loaded model, as functions/inference/engine.py has it."""

    def prepare(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Preprocess; InputError where a value does not fit."""

    def run(self, tensors: Sequence[Tensor], signature: str = PREDICT) -> tuple[Tensor, ...]:
        """Infer."""


class Models(Protocol):
    """The models served here."""

    def get(self, name: str) -> Model | None:
        """The live version, or None if there is no such model; Problem if it is out of service."""


class Calls:
    """Answers calls to the models it is given, and writes each to the ledger it is given."""

    def __init__(self, models: Models, ledger: Ledger, limits: Limits | None = None) -> None:
        self.models = models
        self.ledger = ledger
        self.limits = limits
        self._admission: Admission | None = None
        if limits is not None:  # in the cloud the gateway holds them
            from functions.calls.limits import Admission

            self._admission = Admission(limits, ledger)

    def answer(self, request: Request, record: KeyRecord | None) -> Response:
        """Do all three steps in one thread, waiting for the row where need be."""
        accepted = self.accept(request, record)
        if isinstance(accepted, Response):
            return accepted
        accepted.run()
        return accepted.finish()

    def accept(self, request: Request, record: KeyRecord | None) -> Response | Call:
        """Take a request as far as it goes without inference: a finished answer, or a call under way.

        `record` is the caller's key, None if there was none or it is not ours.
        """
        is_v2 = request.path.startswith("/v2")
        call: Call | None = None
        try:
            way = route(request.path)
            if way is None:
                raise Problem("not-found", "No such address; /docs lists what there is.")
            allowed = "POST" if way.action == PREDICT else "GET"
            if request.method != allowed:
                raise Problem("method-not-allowed", f"{allowed} was expected.", {"allow": allowed})
            if record is None or not record.usable(request.time_ms):
                raise unauthenticated()
            model = self._find(way, record)
            headers: dict[str, str] = {}
            counts = way.action == PREDICT
            if self._admission is not None:
                headers, counts = self._admission.admit(request, record, counts=counts)
            if way.action != PREDICT:
                headers |= {"content-type": JSON, "x-request-id": request.attempt_id}
                return Response(200, headers, v2.describe(way.action, model))
            call = Call(self, request, record, way, model, headers, counts)
            call.start()
            return call
        except Problem as problem:
            return self._refuse(problem, request, is_v2, call)
        except InputError as error:
            return self._refuse(Problem("invalid-input", f"{error}."), request, is_v2, call)
        except LedgerUnavailable:
            return self._refuse(problems.unrecorded(), request, is_v2, call)
        except Exception as error:
            return self._refuse(problems.internal(error), request, is_v2, call)

    def _refuse(self, problem: Problem, request: Request, is_v2: bool, call: Call | None) -> Response:
        if call is not None:
            call.release()
            problem.headers = {**call.headers, **problem.headers}
        return problem.response(request.attempt_id, v2=is_v2)

    def _find(self, way: Route, record: KeyRecord) -> Model:
        # A model out of the key's scope looks like one that does not exist: names are not given away.
        model = self.models.get(way.model) if record.may_call(way.model) else None
        if model is None:
            raise problems.model_not_found()
        if way.version not in ("", model.manifest.version):
            live = model.manifest.version
            raise Problem(
                "model-not-found", f"That version is not served; version {live} is.", live_version=live
            )
        return model


class Call:
    """One accepted call, on its way from row to answer."""

    __slots__ = (
        *("calls", "request", "record", "way", "model", "headers", "counts", "asked", "ticket", "holds"),
        *("inference_us", "_outcome", "_lost", "_tensors", "_outputs", "_failure"),
    )

    def __init__(
        self,
        calls: Calls,
        request: Request,
        record: KeyRecord,
        way: Route,
        model: Model,
        headers: dict[str, str],
        counts: bool,
    ) -> None:
        self.calls = calls
        self.request = request
        self.record = record
        self.way = way
        self.model = model
        self.headers = headers
        self.counts = counts
        self.asked: Asked
        self.ticket: Ticket
        self.holds = bool(record.plan.holds)
        self.inference_us = 0
        self._outcome: Outcome | None = None
        self._lost = False
        self._tensors: list[Tensor]
        self._outputs: tuple[Tensor, ...]
        self._failure: Problem | None = None

    def start(self) -> None:
        """Decode, preprocess, and start to write the row: whatever is wrong with the input is said here."""
        request, model, record = self.request, self.model, self.record
        key = request.headers.get("idempotency-key")
        call_id, mark = f"gw:{request.attempt_id}", ""
        if key is not None:
            from functions.calls.idempotency import identify  # for those who send one

            call_id, mark = identify(request, record.customer, key)
        self.asked = self.way.dialect.decode(model, request)
        self._tensors = model.prepare(self.asked.tensors)
        manifest = model.manifest
        event = UsageEvent(  # in their order: names would take five times as long
            call_id,
            (request.attempt_id,),
            record.key_id,
            record.customer,
            record.plan.version,
            manifest.name,
            manifest.version,
            PREDICT,
            self.asked.units,
            len(request.body),
            request.time_ms,
            mark,
            LIVE,
            1,
            urandom(16).hex(),
        )
        if self.holds:
            from functions.metering.terms import holds_of  # most plans never need it

            self.ticket = self.calls.ledger.append(event, holds_of(record.plan.holds))
        else:
            self.ticket = self.calls.ledger.append(event)

    def run(self) -> None:
        """Infer, if it holds once that is paid. A failure is kept until the row's fate is known."""
        if self.holds and not isinstance(self._await(), (Billed, Replayed)):
            return
        began = perf_counter_ns()
        try:
            self._outputs = self.model.run(self._tensors)
        except Exception as error:
            self._failure = problems.internal(error)
        self.inference_us = (perf_counter_ns() - began) // 1000

    @property
    def failed(self) -> bool:
        """Whether inference failed, so that finish() may have to void the row, and wait for that."""
        return self._failure is not None

    def finish(self) -> Response:
        """Wait for the row and answer. A billed call that can't be answered is voided first."""
        request = self.request
        is_v2 = self.way.dialect is v2
        outcome = self._await()
        if outcome is None:
            self.release()
            return self._problem(problems.unrecorded(), is_v2)
        if isinstance(outcome, Refused):
            self.release()
            return self._problem(problems.refusal(outcome.reason, request.attempt_id), is_v2)
        if isinstance(outcome, Insufficient):
            from functions.calls.limits import unpaid

            self.release()
            return self._problem(unpaid(outcome, request.time_ms), is_v2)
        row = outcome.row
        if isinstance(outcome, Replayed):
            self.release()
        if self._failure is None:
            try:
                return self._encode(row, billed=isinstance(outcome, Billed))
            except Problem as problem:
                self._failure = problem
            except UnusableScores as error:
                self._failure = problems.internal(error)
            except Exception as error:
                self._failure = problems.internal(error)
        if isinstance(outcome, Billed):
            self._take_back(row)
        return self._problem(self._failure, is_v2)

    def _await(self) -> Outcome | None:
        """Wait for the row's fate, once; None if it could not be made durable."""
        if self._outcome is None and not self._lost:
            try:
                self._outcome = self.ticket.outcome()
            except LedgerUnavailable:
                self._lost = True
        return self._outcome

    def release(self) -> None:
        """Give back the place in the quota that an unbilled call took."""
        if self.calls.limits is not None and self.counts:
            self.calls.limits.release(self.record, self.request.time_ms)

    def _encode(self, row: UsageEvent, *, billed: bool) -> Response:
        receipt = Receipt(row.call_id, self.asked.units, billed, row.version)
        answer = self.way.dialect.encode(self.model, self.asked, self._outputs, receipt)
        if len(answer.body) > MAX_ANSWER:
            size = f"{len(answer.body):,}"
            detail = f"The answer has {size} bytes, {MAX_ANSWER:,} can be sent; send fewer instances a call."
            raise Problem("answer-too-large", detail)
        headers = self.headers | answer.headers
        headers["x-request-id"] = self.request.attempt_id
        headers["payphone-call-id"] = row.call_id
        headers["payphone-receipt"] = receipt_of(row)
        if not billed:
            headers["idempotent-replayed"] = "true"
        return Response(200, headers, answer.body)

    def _take_back(self, row: UsageEvent) -> None:
        self.release()
        try:
            self.calls.ledger.void(row.call_id, self.request.attempt_id)
        except LedgerUnavailable:
            # The log will show an answer that was not 2xx: on that evidence reconciliation credits the row.
            log.critical(f"row {row.call_id} could not be voided after a failure")

    def _problem(self, problem: Problem, is_v2: bool) -> Response:
        problem.headers = {**self.headers, **problem.headers}
        return problem.response(self.request.attempt_id, v2=is_v2)
