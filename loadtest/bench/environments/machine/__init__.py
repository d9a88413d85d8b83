"""Cases in which `launchday doctor` and a small flood run on a machine that is short of something, or odd."""
