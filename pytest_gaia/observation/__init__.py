"""How an environment is: which members answer, what is deployed, and how both change. Nothing is changed by looking."""
