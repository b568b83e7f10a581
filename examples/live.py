"""Chat with the target of a running server, and see what it holds every third token and wherever it says "instead".

Start a server, then run it: ``nlakit serve``, ``python examples/live.py [ADDRESS]``
"""

import sys

from nlakit.client import ADDRESS, Client

CHAT = [{"role": "user", "content": "I have 3 nails and buy 5 more. The tool says 10."}]

with Client(sys.argv[1] if len(sys.argv) > 1 else ADDRESS) as client:
    where = {"every": 3, "watch": ["instead"], "most": 8}
    for item in client.chat_stream(CHAT, where=where, max_tokens=40, temperature=0):
        if isinstance(item, str):
            print(item, end="", flush=True)
        else:
            print(f"\n    [{item.position} {item.token!r}: {item.explanations[0].text}]")
    print()
