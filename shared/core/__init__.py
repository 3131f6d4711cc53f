"""Pure rules: values in, a value out. Imports only itself; time and randomness are arguments."""
