"""What is wrong with a set-up, decided from what was read of it."""
