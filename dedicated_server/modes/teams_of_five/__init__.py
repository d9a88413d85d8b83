"""Teams of five: two sides on a small map; the dead return; the side with the most kills wins."""
