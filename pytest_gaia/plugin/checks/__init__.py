"""From what a test did to the verdict: phases, evidence, what is owed, and the judgement of the whole run."""
