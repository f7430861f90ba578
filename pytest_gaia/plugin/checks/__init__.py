"""From the reports of tests to the verdict: phases, records, test plan, outcomes."""
