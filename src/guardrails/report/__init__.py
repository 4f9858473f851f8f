"""What agents have done: the record, summed up for the people who answer for them."""
