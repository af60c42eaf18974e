"""The badge of an issuance: recipient, template, dates and evidence of its request. Pure functions."""
