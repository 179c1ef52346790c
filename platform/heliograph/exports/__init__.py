"""Files of what is stored, made in the background: a part at a time, kept for a week, told of when they are ready."""
