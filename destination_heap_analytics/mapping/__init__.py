"""A record to a payload, or the reason why it is rejected. Pure: no I/O, no clock, no randomness."""
