"""E-mail, by Django's mail backend."""
