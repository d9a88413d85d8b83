"""How many players a second a backend bears: floods of a growing rate, and the knee halved in on."""
