"""What has to hold, and whether it does: ratios of one run on one machine, and one rate."""

from typing import NamedTuple


class Budget(NamedTuple):
    """One figure and its limit: at least, or at most where less is better."""

    figure: str
    what: str
    limit: float
    at_most: bool = False

    def met(self, value: float) -> bool:
        """Whether a value is within it."""
        return value <= self.limit if self.at_most else value >= self.limit


BUDGETS = (
    Budget("init_ratio", "cold start, CPU, beside FastAPI + Mangum + Powertools + boto3", 12),
    Budget("warm_metered_ratio", "a metered call, warm, CPU over a null handler, beside the same", 20),
    Budget("runtime_layer_ratio", "runtime layer, unzipped, beside ai-edge-litert + numpy", 12),
    Budget("forest_vs_sklearn", "one row through a forest of 100 trees, beside scikit-learn", 150),
    Budget("forest_vs_onnxruntime", "the same, time of ONNX Runtime's", 1.7, at_most=True),
    Budget("lstm_vs_keras", "one row through the sentiment LSTM, beside Keras' tf.function", 10),
    Budget("svc_vs_sklearn", "one row through an RBF SVC, beside scikit-learn", 14),
    Budget("linear_vs_sklearn", "one row through a logistic regression, beside scikit-learn", 100),
    Budget("minilm_vs_torch", "a sentence through MiniLM in int8, beside PyTorch eager, one thread", 5),
    Budget("minilm_mb", "the file of MiniLM in int8, MB", 25, at_most=True),
    Budget("minilm_cosine", "the least cosine of its vectors to the float model's", 0.99),
    Budget("batch_vs_source", "a batch through the slowest family of all, beside its source", 1),
    Budget("server_vs_fastapi", "requests a CPU second, beside FastAPI `def`", 2),
    Budget("server_vs_litserve", "the same, beside LitServe", 8),
    Budget("server_vs_bentoml", "the same, beside BentoML", 8),
    Budget(
        "invoice_rows_per_cpu_s", "rows priced and closed a second on one core; a rate, no ratio", 1_000_000
    ),
    Budget("invoice_peak_mb", "and the memory that takes, MB", 512, at_most=True),
)
# Shown and written down, without a limit.
OTHERS = ("server_vs_mlserver", "daybook_rows_per_cpu_s")
FIGURES = (*(budget.figure for budget in BUDGETS), *OTHERS)
# The members of the last line's JSON, in this order; the other figures are in its "more".
LINE = (
    "init_ratio",
    "warm_metered_ratio",
    "runtime_layer_ratio",
    "forest_vs_sklearn",
    "forest_vs_onnxruntime",
    "lstm_vs_keras",
    "minilm_vs_torch",
    "server_vs_fastapi",
    "server_vs_litserve",
    "server_vs_bentoml",
    "server_vs_mlserver",
    "invoice_rows_per_cpu_s",
)


class Verdict(NamedTuple):
    """One budget and what became of it: `met` is None where it was not measured, and `reason` says why."""

    budget: Budget
    value: float | None
    met: bool | None
    reason: str = ""


def judge(figures: dict[str, float | str]) -> list[Verdict]:
    """Hold the figures against their budgets."""
    verdicts = []
    for budget in BUDGETS:
        value = figures.get(budget.figure, "this part was not run")
        if isinstance(value, str):
            verdicts.append(Verdict(budget, None, None, value))
        else:
            verdicts.append(Verdict(budget, value, budget.met(value)))
    return verdicts
