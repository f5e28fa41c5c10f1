"""Orthanc by Helm charts: the plan, the values, the differences."""
