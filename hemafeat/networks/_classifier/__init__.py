"""Training of networks that classify cells, and pictures of what they look at."""
