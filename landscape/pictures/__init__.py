"""What pictures and pages are made with: nothing here knows a measurement."""
