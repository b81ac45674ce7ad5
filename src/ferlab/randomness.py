"""Randomness as a function, not a stream: a seed from every number that it may depend on."""

_MASK = (1 << 64) - 1


def mix_seed(*numbers: int) -> int:
    """Return a 63-bit seed that changes with each of the numbers and with their order.

    SplitMix64's finaliser (Steele, Lea & Flood 2014), folded over the numbers.
    """
    mixed = 0
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        mixed ^= mixed >> 31
    return mixed >> 1
