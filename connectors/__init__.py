"""I/O with the outside world, one module or sub-package per channel kind.

A connector moves bytes and knows no meaning; see `connectors/README.md` for the rules.
"""
