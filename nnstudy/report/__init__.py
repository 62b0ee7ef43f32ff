"""What a reader sees of a study: tables in the terminal, pictures on disk."""
