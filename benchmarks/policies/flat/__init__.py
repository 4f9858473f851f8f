"""One package that decides by itself: the shape in which Rego is easiest to make fast."""
