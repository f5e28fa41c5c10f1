"""What the tasks of the GitOps approach do."""
