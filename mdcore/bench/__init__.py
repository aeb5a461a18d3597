"""What `make bench` measures: the engine and whole commands beside what a researcher writes by hand."""
