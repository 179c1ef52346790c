"""What the commands share: finding them, reaching the server, and showing answers to people and programs."""
