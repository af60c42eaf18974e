"""Input of forms: types, limits, suggestions, and the errors that name a field."""
