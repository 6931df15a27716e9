"""What the telephone tests say: sipp scenarios, hostile SIP, and sound to compare."""
