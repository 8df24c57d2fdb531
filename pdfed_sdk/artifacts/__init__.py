"""Models as bytes: packages, provenance, content-addressed stores. Knows no chain."""
