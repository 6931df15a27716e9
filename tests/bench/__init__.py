"""`make bench`: the gateway and two straightforward scripts under the same load; see `tests/README.md`."""
