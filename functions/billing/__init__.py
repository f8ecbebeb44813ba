"""What usage costs: plans, prices and invoices. Knows no tensors, and bills rows, never counters."""
