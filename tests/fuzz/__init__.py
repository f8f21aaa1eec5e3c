"""Every place that takes bytes from outside, given any bytes at all."""
