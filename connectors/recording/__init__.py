"""Recordings of calls: written while somebody speaks, adopted by the blob store after; see README.md."""
