"""Makes tickets.csv: 200 support tickets, each with the queue that a person chose.

No chance is involved: ticket number n takes the n-th customer, matter and product, round and
round. Every fourteenth ticket speaks of one thing and is about another, which a person sees and a
list of words does not.

    python examples/data/make_tickets.py > examples/data/tickets.csv
"""

from __future__ import annotations

import csv
import sys

TICKETS = 200
EVERY = 14  # 14, 28, … 196: fourteen tickets in 200

PRODUCTS = ("desk lamp", "kettle", "bookshelf", "headphones", "rucksack", "wall clock", "blender")

PLAIN = (
    ("refunds", "I sent the {product} of order {order} back and would like a refund."),
    ("deliveries", "Where is my parcel? The {product} of order {order} was due on Monday."),
    ("accounts", "I cannot log in any more since yesterday; the page only blinks."),
    ("questions", "Does the {product} come in green as well?"),
    ("deliveries", "The tracking page of order {order} has not changed for five days."),
    ("refunds", "I was charged twice for the {product} in order {order}."),
    ("questions", "How long is the warranty on the {product}?"),
    ("accounts", "My password is not accepted, and the link to change it never arrives."),
    ("deliveries", "Please move the delivery of the {product}, order {order}, to Friday."),
    ("accounts", "Please change my e-mail address, I have left the old company."),
    ("refunds", "The {product} broke on its first day. I want my money back, order {order}."),
    ("questions", "Can I buy spare parts for the {product}?"),
)

MISLEADING = (
    ("deliveries", "No refund please, just send the {product} of order {order} at last!"),
    ("accounts", "The delivery is fine, but a stranger's order {order} shows in my profile."),
    ("refunds", "The {product} went back three weeks ago, order {order}. When do I see the sum?"),
    ("questions", "Before I log in and buy it: is the {product} made in Europe?"),
    ("deliveries", "Order {order} says it is at my door. It is not, and I was home all day."),
    ("questions", "If I do not like the {product}, do you refund the postage too?"),
    ("accounts", "I forgot my pass phrase and the parcel of order {order} waits behind it."),
)


def main() -> None:
    """Write the tickets to standard output."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("id", "text", "human"))
    plain = misleading = 0
    for number in range(1, TICKETS + 1):
        if number % EVERY == 0:
            human, text = MISLEADING[misleading % len(MISLEADING)]
            misleading += 1
        else:
            human, text = PLAIN[plain % len(PLAIN)]
            plain += 1
        product = PRODUCTS[number % len(PRODUCTS)]
        order = 48_000 + number * 37
        writer.writerow((f"T-{number:04}", text.format(product=product, order=order), human))


if __name__ == "__main__":
    main()
