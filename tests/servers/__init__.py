"""Real servers for the tests, each on private loopback ports and in its own folder; see `tests/README.md`."""
