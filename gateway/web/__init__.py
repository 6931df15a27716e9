"""The HTTP servers: deliveries on one port, operations on another."""
