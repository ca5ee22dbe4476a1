"""One room a measurement, and the frame that all share: settings, subjects, saving, costs, drawing."""
