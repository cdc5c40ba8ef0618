"""run.json of a small run."""

from raysweep.record.run_facts import RunFacts, RunIdentity, SweepFacts

SWEEP_FACTS = SweepFacts(name="a", seed=1, reference="1x", bands=("1x",), models=("m",), buckets=("all",))
RUN_FACTS = RunFacts.begin(RunIdentity(run_id="r", plan_id="p", created=1.5, schema_version=1), SWEEP_FACTS)
