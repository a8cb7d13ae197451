"""Everything that is sent to MLflow. Apart from starting its UI, no code outside this package calls MLflow."""
