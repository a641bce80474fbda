"""Running a trained model: plan, backends, controls, one picture."""
