"""Steps that pipelines are made of."""
