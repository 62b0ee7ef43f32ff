"""Tables in, statistics out: what the runs of a study say, and how sure one may be of it."""
