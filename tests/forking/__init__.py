"""Processes that tests start without their start: one process of each worker has loaded what they need, and forks.

A forked process is what it is by itself: it has its own working folder, variables, standard streams, signals and end.
What it does not do is import everything again, which is most of what a short process costs. A process that needs an
interpreter of its own (it looks at what is imported, or has variables that Python reads when it starts) begins as
usual; so does every process where forking is not safe, which is everywhere but on Linux.
"""
