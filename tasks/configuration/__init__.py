"""Settings from a file: what they change, the checks of the forms, and storing them."""
