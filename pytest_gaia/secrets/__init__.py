"""What is secret, by its name, its shape and its value; how it is masked; and the search for what was missed."""
