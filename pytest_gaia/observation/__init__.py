"""How an environment is: which members answer, what is deployed, and how both change."""
