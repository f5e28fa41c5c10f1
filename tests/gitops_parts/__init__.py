"""What the lab tests of the GitOps approach share."""
