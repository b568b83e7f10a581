"""Read a text with the shipped pair, and keep the claims that are worth believing.

Run it: ``python examples/believe.py``
"""

from nlakit import Pair
from nlakit.models.readings import band_of

TEXT = (
    "One morning, Mia put the key in the box. Tom felt sad. Mia went to the park. Tom hid the coin in the bag. "
    "Where was the key? In that"
)

pair = Pair.from_pretrained("terrarium")
for reading in pair.read(TEXT, positions=[-1, -2, -3], support=True):
    print(f"{reading.position} {reading.token!r}")
    for explanation in reading.explanations:
        for claim in explanation.claims or ():
            verdict = band_of(claim.support, reading.flags)[1].rpartition(": ")[2]
            print(f"    {claim.support:.2f} {verdict:8} {explanation.text[claim.start : claim.end]}")
