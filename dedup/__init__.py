"""Recognising an event that was already taken; see `dedup/README.md` for the guarantee."""
