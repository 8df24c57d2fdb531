"""A whole federation on one machine: real chain, real nodes as processes, real training, then the audit."""
