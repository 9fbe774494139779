# predictor/
