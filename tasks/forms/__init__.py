"""What the forms for administrators do."""
