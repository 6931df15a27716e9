"""The channel doctor: `channel.verify` on demand, and rounds that warn before customers notice; see `service`."""
