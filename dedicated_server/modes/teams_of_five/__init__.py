"""Teams of five."""
