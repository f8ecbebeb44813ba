"""Layers: bytes that a deploy ships for the model runtime, beside the packages it is taken from."""

from importlib.metadata import distributions

from layers import runtime
from tests.benchmarks.installed import name_of, site_packages, size_of
from tests.benchmarks.part import Bench, Part, Table

STOCK = ("ai-edge-litert", "numpy")
LOCK = "bench-lambda"
FIGURES = ("runtime_layer_ratio",)
MEGABYTE = 1_000_000


def measure(bench: Bench) -> Part:
    """Unzipped, without bytecode; the stock packages as pip installs them for this CPU."""
    bench.step("the runtime layer")
    layer = runtime.build(bench.folder / "build", "x86_64")
    site = site_packages(bench.environment(LOCK))
    installed = [one for one in distributions(path=[site]) if name_of(one) in STOCK]
    versions = " + ".join(f"{name_of(one)} {one.version}" for one in sorted(installed, key=name_of))
    stock = sum(map(size_of, installed))
    rows = [
        (versions, f"{stock / MEGABYTE:.1f}", ""),
        ("Payphone's runtime layer", f"{layer.unzipped / MEGABYTE:.1f}", f"{layer.zipped / MEGABYTE:.1f}"),
    ]
    table = Table("Model runtime for Lambda, x86_64", ("what", "MB unzipped", "MB zipped"), rows)
    return Part([table], {"runtime_layer_ratio": stock / layer.unzipped})
