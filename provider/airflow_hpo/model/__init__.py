"""The model: frozen values, no input or output. Everything else imports it."""
