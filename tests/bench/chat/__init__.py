"""Ten thousand visitors who are there, two thousand who write (``make bench ARGS="--chat"``)."""
