"""What the operating system gives, and how this product uses it: signals, and waiting that hears them."""
