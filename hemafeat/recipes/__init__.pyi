from ._published import published as published
