"""One function an operation, on tensors and on arrays: it looks at its arguments, computes, and records."""
