"""Speech to text with Vosk, in worker processes; see README.md."""
