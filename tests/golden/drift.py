"""Golden values of drift: the population stability index and what chance makes of it, by plain Python.

    python3 tests/golden/drift.py > tests/golden/drift.json

The index is Jeffreys' divergence between shares with half a count added. The quantile of chi-squared is found by bisection of
its distribution function (the series of the incomplete gamma function); `simulated` is the 99 % quantile of the index over
20,000 draws from one distribution.
"""

import json
import math
import random


def index(now, then):
    p = [(n + 0.5) / (math.fsum(now) + 0.5 * len(now)) for n in now]
    q = [(n + 0.5) / (math.fsum(then) + 0.5 * len(then)) for n in then]
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q)) + math.fsum(b * math.log(b / a) for a, b in zip(p, q))


def chi_squared_below(x, freedom):
    a, x = freedom / 2, x / 2
    term = total = 1 / a
    n = a
    while term > total * 1e-17:
        n += 1
        term *= x / n
        total += term
    return total * math.exp(-x + a * math.log(x) - math.lgamma(a))


def chi_squared_99(freedom):
    low, high = 0.0, 400.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_squared_below(middle, freedom) < 0.99 else (low, middle)
    return low


def chance(now, then):
    return (1 / math.fsum(now) + 1 / math.fsum(then)) * chi_squared_99(len(now) - 1)


def simulated(shares, n, m, rounds=20_000):
    draws = random.Random(20)
    def counts(size):
        found = [0] * len(shares)
        for at in draws.choices(range(len(shares)), shares, k=size):
            found[at] += 1
        return found
    return sorted(index(counts(n), counts(m)) for _ in range(rounds))[int(rounds * 0.99)]


CASES = [
    ([10, 20, 30], [10, 20, 30]),
    ([60, 30, 10], [10, 20, 30]),
    ([0, 0, 5], [500, 300, 200]),
    ([1, 0], [343, 116]),
    ([12, 400, 3, 77, 0, 91, 15, 2], [900, 120, 40, 310, 5, 600, 22, 3]),
]
cases = [{"now": now, "then": then, "index": index(now, then), "chance": chance(now, then)} for now, then in CASES]
for shares, n, m in [([0.5, 0.3, 0.2], 200, 500), ([0.25, 0.73, 0.02], 400, 524), ([0.2] * 5, 100, 155)]:
    now, then = ([share * size for share in shares] for size in (n, m))
    cases.append({"now": now, "then": then, "index": index(now, then), "chance": chance(now, then),
                  "simulated": simulated(shares, n, m)})
print(json.dumps({"cases": cases}, indent=1))
