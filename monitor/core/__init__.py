"""Values in, values out: no I/O and no clock. `now` is always an argument."""
