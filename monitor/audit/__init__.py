"""What IT runs: looks at a running Vigil from outside, tries what must be impossible, and writes down what it saw.

This package must never take the server's word where the kernel's can be had, never look at a patient's picture, and
never let a check that was not made count as one that holds.
"""
