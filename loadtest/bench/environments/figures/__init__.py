"""Cases with a figure: many players under a low limit, steps of the clock, orders of an upgrade, cut logs."""
