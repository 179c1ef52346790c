"""What personal data and secrets look like in a text: the standard library only, for whoever judges or blanks texts."""
