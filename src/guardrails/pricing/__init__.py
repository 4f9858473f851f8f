"""What a model's answer cost: its usage as providers report it, and a list of prices."""
