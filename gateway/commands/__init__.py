"""One module per group of commands; `gateway.cli` registers them by name, so none is imported before it is used."""
