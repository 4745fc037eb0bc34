"""What can be seen of Vigil from outside, and what it means: facts of the kernel's, verdicts by GUARANTEE.md's rows.

Used by the control process (each minute) and by the audit (when IT asks). Readers (`proc`, `machine`, `onvif`) only
read; judges take facts and give findings, without I/O. Nothing in this package may believe what a media process says of
itself without saying so, and nothing may turn a check that was not made into one that holds.
"""
