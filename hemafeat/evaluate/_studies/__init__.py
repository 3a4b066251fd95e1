"""Studies: comparisons of comparisons, such as leaky against honest."""
