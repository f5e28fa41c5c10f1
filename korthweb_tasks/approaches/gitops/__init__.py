"""Orthanc by Flux: the fleet repository, the plan, the removal."""
