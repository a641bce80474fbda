"""What a generator is measured by. Statistics are float64 numpy, measures of pictures are torch."""
