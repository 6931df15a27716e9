"""Sources of the widget; see `__main__`."""
