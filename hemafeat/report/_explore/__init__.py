"""The page on which the cells of a table are looked at."""
