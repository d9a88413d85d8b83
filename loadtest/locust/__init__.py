"""Bots for Locust: the locust file, and the process of bots that each of its workers keeps."""
