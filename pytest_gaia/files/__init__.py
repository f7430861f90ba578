"""Files of text: reading them, with the place of every key, and writing them."""
