"""Fork processes for tests from one process for each worker that has already loaded their imports.

A forked process has its own working folder, variables, standard streams, signals and end. It saves the imports, which
are most of the cost of a short process. A process starts normally if it needs its own interpreter (it checks imports,
or has variables that Python reads at its start), or if forking is not safe, which is everywhere but on Linux.
"""
