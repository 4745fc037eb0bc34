"""The bench: what Vigil costs and how long it takes, beside a peer in the same run. It prints, it judges nothing.

`python -m tests.bench` runs all of it, `python -m tests.bench fanout press` some. A figure of one machine says nothing
about another: what may be quoted is the ratio to the peer, with its spread.
"""
