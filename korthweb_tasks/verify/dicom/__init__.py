"""DICOM over TLS: associations, the images that are sent, and what comes back."""
