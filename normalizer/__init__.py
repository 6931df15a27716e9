"""The vocabulary of the gateway: pure data and pure functions.

Nothing here does I/O, reads a clock or knows asyncio (checked by import-linter), so every
rule about meaning can be tested with files and replayed from stored raw bytes.
"""
