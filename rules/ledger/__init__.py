"""What an issuance may become, decided from what is known of it."""
