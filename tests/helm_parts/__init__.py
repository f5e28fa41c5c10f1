"""What the lab tests of the Helm approach share."""
