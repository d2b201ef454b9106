"""A record to a payload, or the reason why it is rejected. Never I/O, a clock or randomness."""
