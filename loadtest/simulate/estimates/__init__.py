"""What a figure is worth: intervals over several seeds, and the steady part of a run."""
