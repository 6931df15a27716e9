"""`make bench ARGS=--mail`: mails over SMTP into RabbitMQ, and what reading a mail costs; see `tests/README.md`."""
