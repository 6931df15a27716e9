"""Provider traffic against a running gateway: signed, and repeated until accepted, as the provider itself does it."""
