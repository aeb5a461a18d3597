"""What `import mdcore` offers to a researcher's own data: fits, exact answers, a classifier, runs read back."""
