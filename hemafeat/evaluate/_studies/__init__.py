"""Studies beside a comparison: leakage, learning curves, left-out classes, copies."""
