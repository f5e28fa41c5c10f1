"""HTTPS: who is let in, DICOMweb, STOW-RS."""
