"""Tables, figures and the report, made from what a run has committed."""
