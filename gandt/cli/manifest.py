"""Commands; see the functions they wrap."""
