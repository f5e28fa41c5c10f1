"""Orthanc by istioctl, one chart and plain manifests: the plan, the removal, the files."""
