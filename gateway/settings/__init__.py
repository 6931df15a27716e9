"""Configuration: load, check, compare."""
