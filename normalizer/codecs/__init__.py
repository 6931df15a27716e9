"""One codec per channel kind: `normalizer/codecs/<kind>.py`."""
