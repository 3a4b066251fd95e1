"""Draw synthetic cells, fields and cohorts with known ground truth."""
