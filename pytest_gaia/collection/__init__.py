"""What is selected, and what a check needs: the only modules that touch pytest's items."""
