"""Speech to text with Vosk; filled by the voice work."""
